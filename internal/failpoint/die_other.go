//go:build !unix

package failpoint

import "os"

// die ends the process at once: no deferred call, no flush.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {} // the end is on its way
}
