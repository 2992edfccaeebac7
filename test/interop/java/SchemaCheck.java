// Parses the subschema with UnboundID's parser and with the ones that Apache
// Directory Studio's schema browser uses, then checks every entry against it.
// The classes named goauthentik.io/ldap/... are left out of that: they are
// deliberately not defined, as the parser of Studio refuses a "/" in a name.

import com.unboundid.ldap.sdk.Entry;
import com.unboundid.ldap.sdk.LDAPConnection;
import com.unboundid.ldap.sdk.SearchResultEntry;
import com.unboundid.ldap.sdk.SearchScope;
import com.unboundid.ldap.sdk.schema.EntryValidator;
import com.unboundid.ldap.sdk.schema.Schema;
import java.util.ArrayList;
import java.util.List;
import org.apache.directory.api.ldap.model.schema.parsers.AbstractSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.AttributeTypeDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.LdapSyntaxDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.MatchingRuleDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.ObjectClassDescriptionSchemaParser;

public class SchemaCheck {
    public static void main(String[] args) throws Exception {
        String base = System.getenv("BASE");
        LDAPConnection c = new LDAPConnection(System.getenv("LDAP_HOST"), Integer.parseInt(System.getenv("LDAP_PORT")),
                "cn=ldapservice,ou=users," + base, "demo-ldapservice");

        String dn = Schema.getSubschemaSubentryDN(c, base);
        System.out.println("subschema of the base: " + dn);
        Schema schema = Schema.getSchema(c, dn, true); // an element that does not parse throws
        Entry e = c.getEntry(dn, "*", "+");
        parsed("UnboundID", e, "ldapSyntaxes", schema.getAttributeSyntaxes().size());
        parsed("UnboundID", e, "matchingRules", schema.getMatchingRules().size());
        parsed("UnboundID", e, "attributeTypes", schema.getAttributeTypes().size());
        parsed("UnboundID", e, "objectClasses", schema.getObjectClasses().size());
        studio(e, "ldapSyntaxes", new LdapSyntaxDescriptionSchemaParser());
        studio(e, "matchingRules", new MatchingRuleDescriptionSchemaParser());
        studio(e, "attributeTypes", new AttributeTypeDescriptionSchemaParser());
        studio(e, "objectClasses", new ObjectClassDescriptionSchemaParser());

        EntryValidator validator = new EntryValidator(schema);
        for (SearchResultEntry entry : c.search(base, SearchScope.SUB, "(objectClass=*)", "*", "+").getSearchEntries()) {
            List<String> reasons = new ArrayList<>();
            validator.entryIsValid(entry, reasons);
            reasons.removeIf(r -> r.contains("object class goauthentik.io/ldap/") && r.contains("not defined"));
            System.out.println(entry.getDN() + ": " + (reasons.isEmpty() ? "valid" : "not valid"));
            for (String reason : reasons) {
                System.out.println("  " + reason);
            }
        }
        c.close();
    }

    static void studio(Entry e, String attribute, AbstractSchemaParser<?> parser) {
        parser.setQuirksMode(true); // as Studio does
        int parsed = 0;
        for (String value : e.getAttributeValues(attribute)) {
            try {
                parser.parse(value);
                parsed++;
            } catch (Exception ex) {
                System.out.println("Studio cannot parse " + value + ": " + ex.getMessage());
            }
        }
        parsed("Studio", e, attribute, parsed);
    }

    static void parsed(String who, Entry e, String attribute, int n) {
        int all = e.getAttributeValues(attribute).length;
        System.out.println(who + ", " + attribute + ": " + (n == all ? "all parse" : n + " of " + all + " parse"));
    }
}
