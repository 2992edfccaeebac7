//go:build race

package verified

const race = true
