// Java's own LDAP client, JNDI: what Jenkins, Keycloak and the like bind with.
// Run as `java Jndi.java`.

import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Hashtable;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.naming.Context;
import javax.naming.NamingEnumeration;
import javax.naming.NamingException;
import javax.naming.directory.Attribute;
import javax.naming.directory.BasicAttributes;
import javax.naming.directory.DirContext;
import javax.naming.directory.SearchControls;
import javax.naming.directory.SearchResult;
import javax.naming.ldap.Control;
import javax.naming.ldap.ExtendedRequest;
import javax.naming.ldap.ExtendedResponse;
import javax.naming.ldap.InitialLdapContext;
import javax.naming.ldap.LdapContext;
import javax.naming.ldap.PagedResultsControl;
import javax.naming.ldap.PagedResultsResponseControl;
import javax.naming.ldap.SortControl;
import javax.naming.ldap.SortKey;
import javax.naming.ldap.StartTlsRequest;
import javax.naming.ldap.StartTlsResponse;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Jndi {
    static final String url = System.getenv("LDAP_URL");
    static final String base = System.getenv("BASE");
    static final String users = "ou=users," + base;

    public static void main(String[] args) throws Exception {
        trust(System.getenv("LDAP_CA"));

        LdapContext c = connect(url, null, null);
        say("root DSE", c.getAttributes("", new String[] {"namingContexts"}).get("namingContexts").get());
        say("search before bind", code(() -> search(connect(url, null, null), base, "(uid=alice)")));
        c.close();

        bind("bind alice", "cn=alice," + users, "demo-alice");
        bind("bind alice, wrong password", "cn=alice," + users, "wrong");
        bind("bind carol, inactive", "cn=carol," + users, "demo-carol");
        bind("bind bob, no code", "cn=bob," + users, "demo-bob");
        bind("bind bob, code on the password", "cn=bob," + users, "demo-bob;" + System.getenv("CODE1"));
        bind("bind bob, the same again", "cn=bob," + users, "demo-bob;" + System.getenv("CODE1"));
        bind("bind bob, the used code on the login name", "cn=bob;" + System.getenv("CODE1") + "," + users, "demo-bob");
        bind("bind bob, code on the login name", "cn=bob;" + System.getenv("CODE2") + "," + users, "demo-bob");

        LdapContext s = connect(url, "cn=ldapservice," + users, "demo-ldapservice");
        say("whoami", whoami(s));
        System.out.println("search uid=alice");
        for (SearchResult r : search(s, users, "(uid=alice)", "cn", "mail", "memberOf")) {
            print(r);
        }
        System.out.println("search cn=bob");
        for (SearchResult r : search(s, users, "(cn=bob)", "displayName", "objectClass")) {
            print(r);
        }
        say("search memberOf", names(search(s, users, "(memberOf=cn=staff,ou=groups," + base + ")")));

        byte[] cookie = null;
        do {
            s.setRequestControls(new Control[] {new PagedResultsControl(3, cookie, Control.NONCRITICAL)});
            say("page", names(search(s, users, "(objectClass=person)")));
            cookie = null;
            for (Control rc : s.getResponseControls()) {
                if (rc instanceof PagedResultsResponseControl p) {
                    cookie = p.getCookie();
                }
            }
        } while (cookie != null);
        for (boolean ascending : new boolean[] {true, false}) {
            SortKey key = new SortKey("cn", ascending, null);
            s.setRequestControls(new Control[] {new SortControl(new SortKey[] {key}, Control.CRITICAL)});
            say("sorted by " + (ascending ? "cn" : "-cn"), names(search(s, users, "(objectClass=person)")));
        }
        s.setRequestControls(null);

        say("compare mail", compare(s, "alice@example.org"));
        say("compare other mail", compare(s, "bob@example.org"));
        say("search missing base", code(() -> search(s, "cn=nobody," + users, "(objectClass=*)")));
        BasicAttributes entry = new BasicAttributes("sn", "new");
        entry.put("objectClass", "person");
        say("add", code(() -> s.createSubcontext("cn=new," + users, entry)));
        say("modify", code(() -> {
            s.modifyAttributes("cn=alice," + users, DirContext.REPLACE_ATTRIBUTE, new BasicAttributes("sn", "x"));
            return null;
        }));
        say("rename", code(() -> {
            s.rename("cn=alice," + users, "cn=eve," + users);
            return null;
        }));
        say("delete", code(() -> {
            s.destroySubcontext("cn=alice," + users);
            return null;
        }));

        DirContext schema = s.getSchema("");
        say("schema", String.join(" ", list(schema, "")));
        for (String name : new String[] {"AttributeDefinition/memberOf", "AttributeDefinition/entryUUID",
                "ClassDefinition/inetOrgPerson", "ClassDefinition/goauthentikUser", "MatchingRule/caseIgnoreMatch",
                "SyntaxDefinition/1.3.6.1.4.1.1466.115.121.1.15"}) {
            say(name, schema.getAttributes(name, new String[] {"NUMERICOID"}).get("NUMERICOID").get());
        }
        // The definitions of an entry's classes, found by way of the entry. Not
        // those of a user: JNDI takes goauthentik.io/ldap/user for a path.
        DirContext classes = s.getSchemaClassDefinition(users);
        say("classes of ou=users", String.join(" ", list(classes, "")));
        s.close();

        LdapContext t = connect(url, null, null);
        StartTlsResponse tls = (StartTlsResponse) t.extendedOperation(new StartTlsRequest());
        tls.negotiate();
        t.addToEnvironment(Context.SECURITY_AUTHENTICATION, "simple");
        t.addToEnvironment(Context.SECURITY_PRINCIPAL, "cn=alice," + users);
        t.addToEnvironment(Context.SECURITY_CREDENTIALS, "demo-alice");
        t.reconnect(null);
        say("StartTLS", whoami(t));
        tls.close();
        t.close();

        LdapContext l = connect(System.getenv("LDAPS_URL"), "cn=alice," + users, "demo-alice");
        say("LDAPS", whoami(l));
        say("alice sees", names(search(l, base, "(objectClass=*)")));
        l.close();
    }

    static LdapContext connect(String url, String dn, String password) throws NamingException {
        Hashtable<String, String> env = new Hashtable<>();
        env.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.ldap.LdapCtxFactory");
        env.put(Context.PROVIDER_URL, url);
        env.put("com.sun.jndi.ldap.read.timeout", "20000");
        if (dn != null) {
            env.put(Context.SECURITY_AUTHENTICATION, "simple");
            env.put(Context.SECURITY_PRINCIPAL, dn);
            env.put(Context.SECURITY_CREDENTIALS, password);
        }
        return new InitialLdapContext(env, null);
    }

    static void bind(String what, String dn, String password) throws NamingException {
        say(what, code(() -> {
            connect(url, dn, password).close();
            return null;
        }));
    }

    interface Operation {
        Object run() throws NamingException;
    }

    static final Pattern errorCode = Pattern.compile("error code (\\d+)");

    // code is the result code of an operation, which JNDI gives in the message.
    static String code(Operation op) {
        try {
            op.run();
            return "0";
        } catch (NamingException e) {
            Matcher m = errorCode.matcher(String.valueOf(e.getMessage()));
            return (m.find() ? m.group(1) : e.getMessage()) + " " + e.getClass().getSimpleName();
        }
    }

    static List<SearchResult> search(DirContext c, String dn, String filter, String... attributes)
            throws NamingException {
        SearchControls controls = new SearchControls();
        controls.setSearchScope(SearchControls.SUBTREE_SCOPE);
        controls.setReturningAttributes(attributes);
        return Collections.list(c.search(dn, filter, controls));
    }

    // JNDI sends a Compare for a base search of one assertion and no attribute.
    static boolean compare(DirContext c, String mail) throws NamingException {
        SearchControls controls = new SearchControls();
        controls.setSearchScope(SearchControls.OBJECT_SCOPE);
        controls.setReturningAttributes(new String[0]);
        return c.search("cn=alice," + users, "(mail={0})", new Object[] {mail}, controls).hasMore();
    }

    record WhoAmI() implements ExtendedRequest {
        public String getID() {
            return "1.3.6.1.4.1.4203.1.11.3";
        }

        public byte[] getEncodedValue() {
            return null;
        }

        public ExtendedResponse createExtendedResponse(String id, byte[] ber, int offset, int length) {
            return new Answer(id, new String(ber, offset, length, StandardCharsets.UTF_8));
        }
    }

    record Answer(String id, String value) implements ExtendedResponse {
        public String getID() {
            return id;
        }

        public byte[] getEncodedValue() {
            return value.getBytes(StandardCharsets.UTF_8);
        }
    }

    static String whoami(LdapContext c) throws NamingException {
        return ((Answer) c.extendedOperation(new WhoAmI())).value().trim();
    }

    static List<String> list(DirContext c, String name) throws NamingException {
        List<String> names = new ArrayList<>();
        NamingEnumeration<?> e = c.list(name);
        while (e.hasMore()) {
            names.add(((javax.naming.NameClassPair) e.next()).getName());
        }
        Collections.sort(names);
        return names;
    }

    static String names(List<SearchResult> results) {
        List<String> names = new ArrayList<>();
        for (SearchResult r : results) {
            names.add(r.getNameInNamespace().split(",")[0]);
        }
        return String.join(" ", names);
    }

    static void print(SearchResult r) throws NamingException {
        System.out.println("  " + r.getNameInNamespace());
        NamingEnumeration<? extends Attribute> attributes = r.getAttributes().getAll();
        List<String> lines = new ArrayList<>();
        while (attributes.hasMore()) {
            Attribute a = attributes.next();
            List<String> values = new ArrayList<>();
            for (Object v : Collections.list(a.getAll())) {
                values.add((String) v);
            }
            lines.add("    " + a.getID() + ": " + String.join(" | ", values));
        }
        // JNDI keeps attributes in a hash table
        Collections.sort(lines);
        lines.forEach(System.out::println);
    }

    static void say(String what, Object outcome) {
        System.out.println(what + ": " + outcome);
    }

    // trust makes file's certificates the only ones that TLS accepts.
    static void trust(String file) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (InputStream in = new FileInputStream(file)) {
            int i = 0;
            for (var cert : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                store.setCertificateEntry("ca" + i++, cert);
            }
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        managers.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        SSLContext.setDefault(context);
    }
}
