//go:build race

package sse

// scheduleDays is how long TestEveryFiveMinutes goes on; the race detector
// makes it six times slower.
const scheduleDays = 12
