package dash

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestDigestsOfDaysInPages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	acc := w.do("POST", "/admin/v1/accounts", `{"name":"eve"}`).must(201).at("id")
	start := w.time()
	for range 3 {
		w.do("POST", "/admin/v1/accounts/"+acc+"/credits", `{"amount_usd":"1","kind":"topup"}`).must(201)
		w.advance(24 * time.Hour)
	}
	var days []string
	cursor := ""
	for range 3 {
		page := w.do("GET", "/admin/v1/ledger/digests?limit=1"+cursor, "").must(200)
		days = append(days, page.names("day")...)
		if page.at("next") == "null" {
			break
		}
		cursor = "&cursor=" + page.at("next")
	}
	var want []string
	for i := range 3 {
		want = append(want, start.AddDate(0, 0, i).Format(time.DateOnly))
	}
	if fmt.Sprint(days) != fmt.Sprint(want) {
		t.Errorf("days %v, want %v", days, want)
	}
	path := "/admin/v1/ledger/digests?from=" + want[1] + "&to=" + want[1]
	for deadline := time.Now().Add(10 * time.Second); ; {
		got := w.do("GET", path, "").must(200)
		if len(got.names("day")) != 1 || got.at("data.0.first_entry") != "2" || got.at("data.0.last_entry") != "2" {
			t.Fatalf("%s: %s", path, got.body)
		}
		if sum := got.at("data.0.sha256"); regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(sum) {
			break
		} else if sum != "null" || time.Now().After(deadline) {
			t.Fatalf("%s: %s", path, got.body)
		}
	}
	if got := w.do("GET", "/admin/v1/ledger/verify", "").must(200); got.at("ok") != "true" || strings.Contains(string(got.body), `"digests":0`) {
		t.Errorf("verify: %s", got.body)
	}
}
