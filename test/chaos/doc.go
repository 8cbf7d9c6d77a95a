// Package chaos proves what callers see when providers fail: each status and
// each machine code of each family, each way in which a connection can break,
// and providers that take turns at failing under load.
package chaos
