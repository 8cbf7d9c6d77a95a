package provider

import (
	"fmt"
	"strings"
)

// CheckPlace reports what keeps a model's name from standing in the path of a
// URL: it would lead to another path, or the server might take it for one. Names
// of resources have slashes in them, which is for the provider to know.
func CheckPlace(model string) error {
	for segment := range strings.SplitSeq(model, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%q is not the name of a model: a part of it is %q", model, segment)
		}
	}
	if i := strings.IndexFunc(model, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`%?#\`, r) }); i >= 0 {
		return fmt.Errorf("%q is not the name of a model: it has %q in it", model, model[i])
	}
	return nil
}
