// Package unlock is the web page on which users prove their second factor, so
// that for a while their plain name and password suffice at chosen clients.
package unlock
