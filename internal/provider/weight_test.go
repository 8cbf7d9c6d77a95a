package provider_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
	"github.com/pontage/pontage/internal/provider"
	"github.com/pontage/pontage/internal/token"
)

// An upper estimate is above what a tokenizer counts, of whatever text, and not
// absurdly so of what answers mostly are.
func TestWeightIsAboveTheCount(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var numbers strings.Builder
	for range 1000 {
		fmt.Fprintf(&numbers, "%d, ", rng.IntN(1e9))
	}
	again := func(s string) string { return strings.Repeat(s, 20) }
	for _, c := range []struct {
		name, text string
		most       float64 // times the count
	}{
		{"prose", read("../../docs/architecture.md"), 2},
		{"code", read("cursor.go"), 2},
		{"yaml", read("../../docs/admin.openapi.yaml"), 2},
		{"German", again("Der Himmel ist blau, weil das Sonnenlicht in der Atmosphäre gestreut wird. "), 2},
		{"Chinese", again("天空为什么是蓝色的？因为阳光在大气中发生散射。"), 2.5},
		{"Japanese", again("空はなぜ青いのですか。太陽の光が大気で散乱されるからです。"), 2.5},
		{"Russian", again("Небо голубое, потому что солнечный свет рассеивается в атмосфере. "), 4},
		{"Hindi", again("आकाश नीला क्यों है? क्योंकि सूर्य का प्रकाश वायुमंडल में बिखर जाता है। "), 4.5},
		{"pictures", again("😀🎉🚀🦄🧑‍💻👩‍👩‍👧"), 2},
		{"capitals", again("THE SKY IS BLUE BECAUSE SUNLIGHT IS SCATTERED IN THE ATMOSPHERE. "), 4},
		{"numbers", numbers.String(), 3},
		{"a table", again("| a | b | 1 |\n|---|---|---|\n"), 2},
		{"hexadecimal", fmt.Sprintf("%x", noise), 2},
		{"base64", base64.StdEncoding.EncodeToString(noise), 2},
		{"space", again("}\n\t\t}\n"), 2},
	} {
		plain, err := json.Marshal(c.text)
		if err != nil {
			t.Fatal(err)
		}
		count := float64(token.Count(c.text))
		for how, quoted := range map[string]string{"as it is": string(plain), "escaped": strconv.QuoteToASCII(c.text)} {
			if how == "escaped" && strings.Contains(quoted, `\U`) {
				continue // which JSON does not know
			}
			got := float64(provider.Weight([]byte(quoted[1:len(quoted)-1]))) / llm.WeightPerToken
			if got < count || got > c.most*count {
				t.Errorf("%s, %s: weighs %.0f tokens, and has %.0f", c.name, how, got, count)
			}
		}
	}
	for text, want := range map[string]int{``: 0, `a`: 2, `a1A,`: 18, `\n`: 4, `\u4f60b`: 11, `\u0431b`: 8, `\`: 4, `\u4`: 9} {
		if got := provider.Weight([]byte(text)); got != want {
			t.Errorf("%q weighs %d, want %d", text, got, want)
		}
	}
}

func BenchmarkWeight(b *testing.B) {
	text := []byte(strings.Repeat("The quick brown fox, and 12 dogs.\\n", 10))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		provider.Weight(text)
	}
}
