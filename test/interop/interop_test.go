package interop

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the transcripts anew")

func TestLDAPUtils(t *testing.T) {
	expect(t, "ldap-utils", startDemo(t).script(t, "sh", "ldap-utils.sh"))
}

func TestPHP(t *testing.T) {
	expect(t, "php-ldap", startDemo(t).script(t, "php", "php-ldap.php"))
}

// The login name with a code, by search and bind on two connections.

func TestLDAPUtilsLogin(t *testing.T) {
	expect(t, "ldap-utils-login", startDemo(t).script(t, "sh", "ldap-utils-login.sh"))
}

func TestPHPLogin(t *testing.T) {
	expect(t, "php-login", startDemo(t).script(t, "php", "php-login.php"))
}

func TestPython(t *testing.T) {
	expect(t, "ldap3", startDemo(t).script(t, ".venv/bin/python", "ldap3_client.py"))
}

func TestNode(t *testing.T) {
	if _, err := os.Stat("node_modules/ldapts"); err != nil {
		t.Fatalf("scripts/test-deps.sh installs ldapts: %v", err)
	}
	expect(t, "ldapts", startDemo(t).script(t, "node", "ldapts.mjs"))
}

func TestJNDI(t *testing.T) {
	expect(t, "jndi", startDemo(t).script(t, "java", "java/Jndi.java"))
}

// TestSchemaParses has the subschema read by the parsers of UnboundID and of
// Apache Directory Studio, and every entry checked against it.
func TestSchemaParses(t *testing.T) {
	jars, err := filepath.Glob("java/target/lib/unboundid-ldapsdk-*.jar")
	if err != nil || len(jars) == 0 {
		t.Fatalf("java/target/lib has no UnboundID SDK; scripts/test-deps.sh installs it (%v)", err)
	}
	expect(t, "schema", startDemo(t).script(t, "java", "-cp", "java/target/lib/*", "java/SchemaCheck.java"))
}

// TestDemoPrintsWorkingCommands runs each command that the demo tells to try.
func TestDemoPrintsWorkingCommands(t *testing.T) {
	d := startDemo(t)
	_, try, _ := strings.Cut(d.out.String(), "\nTry:\n")
	try, _, ok := strings.Cut(try, "\n\n")
	if !ok || !strings.HasPrefix(strings.TrimSpace(try), "ldapsearch ") {
		t.Fatalf("the demo prints no ldapsearch line to try:\n%s", d.out)
	}
	for line := range strings.Lines(try) {
		line = strings.TrimSpace(line)
		t.Log(line)
		out := d.script(t, "sh", "-ec", line)
		if !strings.Contains(out, "dn: cn=alice,") && !strings.HasPrefix(out, "dn:cn=") {
			t.Errorf("%s\nprints\n%s", line, out)
		}
	}
}

// expect compares a client's transcript with testdata/name.txt.
func expect(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("differs from %s at line %d\n--- want\n%s\n--- got\n%s", file, i+1,
				strings.Join(w[min(i, len(w)):], "\n"), strings.Join(g[min(i, len(g)):], "\n"))
		}
	}
}
