// Package operate proves, on the built binary, what an operator and a developer
// see of it: the admin API and its description, the commands, sites, limits,
// every fault on demand, and the log.
//
// Every test drives a process of its own or one that it shares with tests that
// do not touch its clock.
package operate
