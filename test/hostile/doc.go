// Package hostile drives the built binary with callers who send what they
// should not, come slowly or leave, and with providers that refuse, hang, break
// off, talk nonsense or lie. Each has a clear answer in the contract, costs
// nothing, leaves nothing held and nothing running.
package hostile
