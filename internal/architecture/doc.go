// Package architecture holds no code: its tests hold the house to its plan.
// Which package may import which, one package comment each, no init functions,
// and the modules the product may link.
package architecture
