// Package wire is the HTTP edge: it finds the site, the contract and the route
// of a request, reads the credential and the body within their bounds, hands
// the request to the gate, writes the answer, and renders every failure as the
// contract in force says. The packages below it are the callers' dialects.
package wire
