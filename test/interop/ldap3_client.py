"""Python's ldap3, with the server's schema read and used to check requests."""

import os
import ssl

from ldap3 import ALL, BASE, LEVEL, MODIFY_REPLACE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPExceptionError
from pyasn1.codec.ber import encoder
from pyasn1.type import namedtype, tag, univ

env = os.environ
base = env["BASE"]
users = "ou=users," + base
tls = Tls(ca_certs_file=env["LDAP_CA"], validate=ssl.CERT_REQUIRED)
server = Server(env["LDAP_URL"], get_info=ALL, tls=tls)
secure = Server(env["LDAPS_URL"], tls=tls)


def say(what, *outcome):
    print(what + ":", *outcome)


def bind(what, dn, password):
    c = Connection(server, dn, password)
    c.bind()
    say(what, c.result["result"])
    c.unbind()


def rdns(c):
    return [e["dn"].split(",")[0] for e in c.response if e["type"] == "searchResEntry"]


def entries(c):
    for e in c.response:
        if e["type"] == "searchResEntry":
            print("  " + e["dn"])
            for name, values in e["attributes"].items():
                values = values if isinstance(values, list) else [values]
                print(f"    {name}:", " | ".join(str(v) for v in values))


class SortKey(univ.Sequence):
    componentType = namedtype.NamedTypes(
        namedtype.NamedType("attributeType", univ.OctetString()),
        namedtype.DefaultedNamedType(
            "reverseOrder",
            univ.Boolean(False).subtype(implicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatSimple, 1)),
        ),
    )


def sort_control(attribute, reverse):
    key = SortKey()
    key["attributeType"] = attribute
    key["reverseOrder"] = reverse
    keys = univ.SequenceOf(componentType=SortKey())
    keys.append(key)
    return ("1.2.840.113556.1.4.473", True, encoder.encode(keys))


c = Connection(server)
c.open()
c.search("", "(objectClass=*)", BASE, attributes=["namingContexts"])
say("root DSE", *c.response[0]["attributes"]["namingContexts"])
c.search(base, "(objectClass=*)", SUBTREE)
say("search before bind", c.result["result"])
c.unbind()

bind("bind alice", "cn=alice," + users, "demo-alice")
bind("bind alice, wrong password", "cn=alice," + users, "wrong")
bind("bind carol, inactive", "cn=carol," + users, "demo-carol")
bind("bind bob, no code", "cn=bob," + users, "demo-bob")
bind("bind bob, code on the password", "cn=bob," + users, "demo-bob;" + env["CODE1"])
bind("bind bob, the same again", "cn=bob," + users, "demo-bob;" + env["CODE1"])
bind("bind bob, the used code on the login name", f"cn=bob;{env['CODE1']},{users}", "demo-bob")
bind("bind bob, code on the login name", f"cn=bob;{env['CODE2']},{users}", "demo-bob")

c = Connection(server, "cn=ldapservice," + users, "demo-ldapservice", auto_bind=True)
say("whoami", c.extend.standard.who_am_i())

info, schema = server.info, server.schema
say("naming contexts", *info.naming_contexts)
say("extensions", *sorted(e[0] for e in info.supported_extensions))
say("controls", *sorted(e[0] for e in info.supported_controls))
for name, parsed in (
    ("objectClasses", schema.object_classes),
    ("attributeTypes", schema.attribute_types),
    ("matchingRules", schema.matching_rules),
    ("ldapSyntaxes", schema.ldap_syntaxes),
):
    served = len(schema.raw[name])
    say(name, "all parse" if len(parsed) == served else f"{len(parsed)} of {served} parse")
# Every attribute that an entry or a class names must be defined, and every
# class but goauthentik.io/...: parsers refuse a schema with a "/" in a name.
c.search(base, "(objectClass=*)", SUBTREE, attributes=["*", "+"])
say("undefined in entries", *sorted(
    {n for e in c.response for n in e["attributes"] if n not in schema.attribute_types}
    | {n for e in c.response for n in e["attributes"]["objectClass"] if n not in schema.object_classes}))
say("undefined in classes", *sorted(
    {n for o in schema.object_classes.values() for n in (o.must_contain or []) + (o.may_contain or [])
     if n not in schema.attribute_types}))

print("search uid=alice")
c.search(users, "(uid=alice)", SUBTREE, attributes=["cn", "mail", "memberOf"])
entries(c)
print("search cn=bob")
c.search(users, "(cn=bob)", LEVEL, attributes=["displayName", "uidNumber", "objectClass"])
entries(c)
c.search(users, f"(memberOf=cn=staff,ou=groups,{base})", SUBTREE)
say("search memberOf", *rdns(c))
try:
    c.search(users, "(noSuchAttribute=x)", SUBTREE)
    say("search unknown attribute", c.result["result"], *rdns(c))
except LDAPExceptionError as e:
    say("search unknown attribute, refused by ldap3's schema check", type(e).__name__)

cookie = True
while cookie:
    c.search(users, "(objectClass=person)", SUBTREE, paged_size=3, paged_cookie=None if cookie is True else cookie)
    say(f"page, {c.result['result']}", *rdns(c))
    cookie = c.result["controls"]["1.2.840.113556.1.4.319"]["value"]["cookie"]
for reverse in (False, True):
    c.search(users, "(objectClass=person)", SUBTREE, controls=[sort_control("cn", reverse)])
    say("sorted by " + ("-cn" if reverse else "cn"), *rdns(c))

say("compare mail", c.compare("cn=alice," + users, "mail", "alice@example.org"))
say("compare other mail", c.compare("cn=alice," + users, "mail", "bob@example.org"))
c.search("cn=nobody," + users, "(objectClass=*)", SUBTREE)
say("search missing base", f"{c.result['result']}, matched {c.result['dn']}")
c.add("cn=new," + users, ["person"], {"sn": "new", "cn": "new"})
say("add", c.result["result"])
c.modify("cn=alice," + users, {"sn": [(MODIFY_REPLACE, ["x"])]})
say("modify", c.result["result"])
c.modify_dn("cn=alice," + users, "cn=eve")
say("rename", c.result["result"])
c.delete("cn=alice," + users)
say("delete", c.result["result"])
c.unbind()

c = Connection(server, "cn=alice," + users, "demo-alice")
c.start_tls()
c.bind()
say("StartTLS", c.extend.standard.who_am_i())
c.unbind()
c = Connection(secure, "cn=alice," + users, "demo-alice")
c.bind()
say("LDAPS", c.extend.standard.who_am_i())
c.search(base, "(objectClass=*)", SUBTREE)
say("alice sees", *rdns(c))
c.unbind()
