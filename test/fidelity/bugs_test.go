package fidelity

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pontage/pontage/test/harness"
)

// regressions are the tests that would fail if this gateway had a bug that
// others have had, by its number in protocols.md §8.
var regressions = map[int][]string{
	1:  {"internal/app TestBug1ADeadUpstreamIsNoCleanEnd", "test/traffic TestRecordedTraffic"},
	2:  {"internal/app TestBug2AnErrorAfterTheFirstFrameIsFailedOver"},
	3:  {"internal/app TestBug3OpenRoutersErrorInAChoiceIsNoEmptySuccess"},
	4:  {"internal/app TestBug4AnAnswerWithoutAChoiceIsNone"},
	5:  {"internal/app TestBug5ErrorsWithoutATypeAreNeither500NorNothing"},
	6:  {"internal/app TestBug6ACallEndsAMessageAndNoEmptyTextBeginsIt"},
	7:  {"internal/app TestBug7ACallByGeminiHasItsArguments", "test/fidelity TestNothingIsLostInTranslation"}, // every recorded call of Gemini, in Messages, too
	8:  {"internal/app TestBug8CachedTokensAreToldInAStreamOfMessages"},
	9:  {"internal/app TestBug9CacheMarksAreKept"},
	10: {"internal/app TestBug10TheBridgeToResponsesKeepsEverything"},
	11: {"internal/provider/responses TestReasoningGoesBackToWhoSealedIt", "internal/llm TestSealIsReadByItsIssuer"},
	12: {"internal/app TestBug12AToolWithoutArgumentsIsKept"},
	13: {"internal/app TestBug13AKindOfToolThatNobodyKnowsIsRefusedByName"},
	14: {"internal/app TestBug14GeminiGetsSchemasWhereItTakesThemAndNoOptionsOfOthers", "internal/provider/gemini TestTranslationByCase", "internal/provider/gemini TestRecordedRequestsTranslateOrAreRefusedByName"},
	15: {"internal/gate TestACallerWhoLeavesCancelsTheProviderAtOnceUnlessTheKeyDrains", "internal/provider/openai TestAStreamThatIsClosedCancelsTheWork"},
	16: {"internal/app TestBug16ArgumentsInManyPiecesAllArrive"},
	17: {"internal/app TestBug17LongLinesPass"},
	18: {"internal/app TestBug18EventsWithoutASpaceAndStaleHeaders"},
	19: {"internal/app TestBug19OurOwnRefusalIsNotReadAsAProviders"},
	20: {"internal/catalog TestCheckRefusesWhatTheModelCannotDo"},
	21: {"internal/app TestBug21NeitherCredentialsNorPromptsReachTheLog"},
	22: {"internal/provider/bedrock TestWhatIsSentForMessages"},
}

// bugs is how many protocols.md §8 lists.
const bugs = 22

func TestEveryBugOfOthersHasItsTest(t *testing.T) {
	t.Parallel()
	root := harness.Root(t)
	for n := 1; n <= bugs; n++ {
		tests := regressions[n]
		if len(tests) == 0 {
			t.Errorf("bug %d has no test", n)
		}
		for _, name := range tests {
			dir, function, _ := strings.Cut(name, " ")
			files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range files {
				src, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(src), "\nfunc "+function+"(t *testing.T)")
			}
			if !found {
				t.Errorf("bug %d: there is no test %s", n, name)
			}
		}
	}
}
