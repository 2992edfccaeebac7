// Parses the subschema with UnboundID's parser and with the ones that Apache
// Directory Studio's schema browser uses, then checks every entry against it.

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
import org.apache.directory.api.ldap.model.schema.parsers.DitContentRuleDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.LdapSyntaxDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.MatchingRuleDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.MatchingRuleUseDescriptionSchemaParser;
import org.apache.directory.api.ldap.model.schema.parsers.ObjectClassDescriptionSchemaParser;

public class SchemaCheck {
    public static void main(String[] args) throws Exception {
        String base = System.getenv("BASE");
        LDAPConnection c = new LDAPConnection(System.getenv("LDAP_HOST"), Integer.parseInt(System.getenv("LDAP_PORT")),
                "cn=ldapservice,ou=users," + base, "demo-ldapservice");

        String dn = Schema.getSubschemaSubentryDN(c, base);
        System.out.println("subschema of the base: " + dn);
        Schema schema = Schema.getSchema(c, dn, true); // an element that does not parse throws
        System.out.println("UnboundID: "
                + schema.getAttributeSyntaxes().size() + " syntaxes, "
                + schema.getMatchingRules().size() + " matching rules, "
                + schema.getAttributeTypes().size() + " attribute types, "
                + schema.getObjectClasses().size() + " object classes");

        Entry e = c.getEntry(dn, "*", "+");
        studio(e, "ldapSyntaxes", new LdapSyntaxDescriptionSchemaParser());
        studio(e, "matchingRules", new MatchingRuleDescriptionSchemaParser());
        studio(e, "matchingRuleUse", new MatchingRuleUseDescriptionSchemaParser());
        studio(e, "attributeTypes", new AttributeTypeDescriptionSchemaParser());
        studio(e, "objectClasses", new ObjectClassDescriptionSchemaParser());
        studio(e, "dITContentRules", new DitContentRuleDescriptionSchemaParser());

        EntryValidator validator = new EntryValidator(schema);
        for (SearchResultEntry entry : c.search(base, SearchScope.SUB, "(objectClass=*)", "*", "+").getSearchEntries()) {
            List<String> reasons = new ArrayList<>();
            validator.entryIsValid(entry, reasons);
            System.out.println(entry.getDN() + ": " + (reasons.isEmpty() ? "valid" : ""));
            for (String reason : reasons) {
                System.out.println("  " + reason);
            }
        }
        c.close();
    }

    static void studio(Entry e, String attribute, AbstractSchemaParser<?> parser) {
        parser.setQuirksMode(true);
        String[] values = e.getAttributeValues(attribute);
        int parsed = 0;
        for (String value : values == null ? new String[0] : values) {
            try {
                parser.parse(value);
                parsed++;
            } catch (Exception ex) {
                System.out.println("Studio cannot parse " + value + ": " + ex.getMessage());
            }
        }
        System.out.println("Studio: " + parsed + " " + attribute);
    }
}
