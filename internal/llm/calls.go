package llm

import "strings"

// MostCalls is more calls of a tool than any answer has: a provider that tells of more
// is not believed, and a caller who allows more is taken to allow so many.
const MostCalls = 10_000

// UsualCalls is how many calls of a search are reckoned with where nobody says how many
// there can be.
const UsualCalls = 10

// Calls are how often tools ran at the provider that are paid for by the call.
type Calls struct {
	WebSearch     int64 // searches, not pages that are fetched
	FileSearch    int64
	CodeExecution int64 // containers in which code ran; one where the provider names none
}

// Believable reports whether none of the numbers is negative or above [MostCalls].
func (c Calls) Believable() bool {
	for _, n := range [...]int64{c.WebSearch, c.FileSearch, c.CodeExecution} {
		if n < 0 || n > MostCalls {
			return false
		}
	}
	return true
}

// Hosted is which tools a request lets the provider run: how often each at most, and
// in Total how often all of them together. In the zero value there is none.
type Hosted struct {
	Calls
	Total int64 // 0: nobody says
}

// Search allows so many more searches of the web; 0: [UsualCalls].
func (h *Hosted) Search(most int64) { h.WebSearch = more(h.WebSearch, most, UsualCalls) }

// SearchFiles allows so many more searches of files; 0: [UsualCalls].
func (h *Hosted) SearchFiles(most int64) { h.FileSearch = more(h.FileSearch, most, UsualCalls) }

// Run allows another container for code.
func (h *Hosted) Run() { h.CodeExecution = more(h.CodeExecution, 1, 1) }

// Offer allows calls of the tool of that type, as OpenAI, Anthropic, xAI and others name
// those that run at the provider ("web_search_preview", "code_execution_20250825"), so
// many at most; 0: nobody says. Tools that cost nothing but tokens are not counted.
func (h *Hosted) Offer(kind string, most int64) {
	has := func(word string) bool { return strings.Contains(kind, word) }
	switch {
	case has("web_search"), has("x_search"):
		h.Search(most)
	case has("file_search"), has("collections_search"):
		h.SearchFiles(most)
	case has("code_interpreter"), has("code_execution"):
		h.Run()
	}
}

// Limit says how many calls there are at most, of all tools together.
func (h *Hosted) Limit(total int64) {
	if total > 0 {
		h.Total = min(total, MostCalls)
	}
}

func more(n, by, usual int64) int64 {
	if by <= 0 {
		by = usual
	}
	return min(n+min(by, MostCalls), MostCalls)
}

// Searches reports whether a model of that name searches the web for every answer, be
// it asked to or not: OpenAI's "-search-" models, Perplexity's, and those that OpenRouter
// has online.
func Searches(model string) bool {
	return strings.Contains(model, "-search-") || strings.HasSuffix(model, "-search") || strings.HasSuffix(model, ":online") || strings.Contains(model, "sonar")
}
