package catalog

// Match reports whether glob matches the whole of id. In a glob, * stands for
// any run of bytes, "/" among them, and ? for any one byte; all else stands for
// itself. It takes time in proportion to the product of the lengths at most.
func Match(glob, id string) bool {
	g, i := 0, 0
	star, back := -1, 0 // the last *, and where its run began
	for i < len(id) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, back = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == id[i]):
			g++
			i++
		case star >= 0:
			back++
			g, i = star+1, back
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}

// matchAny reports whether one of globs matches id.
func matchAny(globs []string, id string) bool {
	for _, g := range globs {
		if Match(g, id) {
			return true
		}
	}
	return false
}
