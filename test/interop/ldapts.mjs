// Node's ldapts.
import { readFileSync } from 'node:fs';
import {
	Attribute, Change, Client, Control, ResultCodeError, ServerSideSortingRequestControl,
} from 'ldapts';

const { BASE: base, LDAP_URL: url, LDAPS_URL: secureURL, CODE1, CODE2 } = process.env;
const users = `ou=users,${base}`;
const tlsOptions = { ca: readFileSync(process.env.LDAP_CA) };

const say = (what, ...outcome) => console.log(`${what}: ${outcome.join(' ')}`);
const rdns = ({ searchEntries }) => searchEntries.map((e) => e.dn.split(',')[0]);

// code is the result code of an operation: 0, or that of the error.
async function code(operation) {
	try {
		await operation;
		return 0;
	} catch (err) {
		if (err instanceof ResultCodeError) return err.code;
		throw err;
	}
}
async function bind(what, dn, password) {
	const c = new Client({ url });
	say(what, await code(c.bind(dn, password)));
	await c.unbind();
}
function entries({ searchEntries }) {
	for (const { dn, ...attributes } of searchEntries) {
		console.log(`  ${dn}`);
		for (const [name, values] of Object.entries(attributes)) {
			console.log(`    ${name}: ${[values].flat().join(' | ')}`);
		}
	}
}

let c = new Client({ url });
const dse = await c.search('', { scope: 'base', attributes: ['namingContexts'] });
say('root DSE', dse.searchEntries[0].namingContexts);
say('search before bind', await code(c.search(base, { filter: '(uid=alice)' })));
await c.unbind();

await bind('bind alice', `cn=alice,${users}`, 'demo-alice');
await bind('bind alice, wrong password', `cn=alice,${users}`, 'wrong');
await bind('bind alice, empty password', `cn=alice,${users}`, '');
await bind('bind carol, inactive', `cn=carol,${users}`, 'demo-carol');
await bind('bind bob, no code', `cn=bob,${users}`, 'demo-bob');
await bind('bind bob, code on the password', `cn=bob,${users}`, `demo-bob;${CODE1}`);
await bind('bind bob, the same again', `cn=bob,${users}`, `demo-bob;${CODE1}`);
await bind('bind bob, the used code on the login name', `cn=bob;${CODE1},${users}`, 'demo-bob');
await bind('bind bob, code on the login name', `cn=bob;${CODE2},${users}`, 'demo-bob');

c = new Client({ url });
await c.bind(`cn=ldapservice,${users}`, 'demo-ldapservice');
say('whoami', (await c.exop('1.3.6.1.4.1.4203.1.11.3')).value);
console.log('search uid=alice');
entries(await c.search(users, { filter: '(uid=alice)', attributes: ['cn', 'mail', 'memberOf'] }));
console.log('search cn=bob');
entries(await c.search(users, { scope: 'one', filter: '(cn=bob)', attributes: ['displayName', 'objectClass'] }));
say('search memberOf', ...rdns(await c.search(users, { filter: `(memberOf=cn=staff,ou=groups,${base})` })));
// ldapts takes code 4 for an end like any other
say('search size limit', ...rdns(await c.search(users, { filter: '(objectClass=person)', sizeLimit: 1 })));

const person = { filter: '(objectClass=person)', attributes: ['cn'] };
for await (const page of c.searchPaginated(users, { ...person, paged: { pageSize: 3 } })) {
	say('page', ...rdns(page));
}
for (const reverseOrder of [false, true]) {
	const sort = new ServerSideSortingRequestControl({ critical: true, value: { attributeType: 'cn', reverseOrder } });
	say(`sorted by ${reverseOrder ? '-cn' : 'cn'}`, ...rdns(await c.search(users, person, sort)));
}
say('unknown critical control', await code(c.search(users, person, new Control('1.2.3.4', { critical: true }))));

say('compare mail', await c.compare(`cn=alice,${users}`, 'mail', 'alice@example.org'));
say('compare other mail', await c.compare(`cn=alice,${users}`, 'mail', 'bob@example.org'));
say('search missing base', await code(c.search(`cn=nobody,${users}`)));
say('add', await code(c.add(`cn=new,${users}`, { objectClass: 'person', cn: 'new', sn: 'new' })));
say('modify', await code(c.modify(`cn=alice,${users}`,
	new Change({ operation: 'replace', modification: new Attribute({ type: 'sn', values: ['x'] }) }))));
say('rename', await code(c.modifyDN(`cn=alice,${users}`, 'cn=eve')));
say('delete', await code(c.del(`cn=alice,${users}`)));
say('unknown extended operation', await code(c.exop('1.2.3.4.5')));
await c.unbind();

c = new Client({ url });
await c.startTLS({ ...tlsOptions }); // it keeps its socket in them
await c.bind(`cn=alice,${users}`, 'demo-alice');
say('StartTLS', (await c.exop('1.3.6.1.4.1.4203.1.11.3')).value);
await c.unbind();
c = new Client({ url: secureURL, tlsOptions });
await c.bind(`cn=alice,${users}`, 'demo-alice');
say('LDAPS', (await c.exop('1.3.6.1.4.1.4203.1.11.3')).value);
say('alice sees', ...rdns(await c.search(base)));
await c.unbind();
