//go:build !race

package sse

// scheduleDays is how long TestEveryFiveMinutes goes on.
const scheduleDays = 60
