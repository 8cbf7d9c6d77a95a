// Package parts proves what is left of a gateway when parts of its machine fail:
// the disk is full, slow or gone, the clock jumps, the process is stopped, there
// is little memory, the database is lost. It drives the built binary from outside.
package parts
