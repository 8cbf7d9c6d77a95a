package anthropic

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/wire"
)

func TestModelsComeInPages(t *testing.T) {
	t.Parallel()
	var list []wire.Model
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		list = append(list, wire.Model{ID: id})
	}
	for _, c := range []struct{ query, ids, more, param string }{
		{"", "abcde", "false", ""},
		{"limit=2", "ab", "true", ""},
		{"limit=5", "abcde", "false", ""},
		{"limit=1000", "abcde", "false", ""},
		{"limit=2&after_id=b", "cd", "true", ""},
		{"limit=2&after_id=c", "de", "false", ""},
		{"after_id=b", "cde", "false", ""},
		{"limit=2&after_id=e", "", "false", ""},
		{"limit=2&before_id=e", "cd", "true", ""},
		{"limit=2&before_id=c", "ab", "false", ""},
		{"limit=2&before_id=b", "a", "false", ""},
		{"before_id=d", "abc", "false", ""},
		{"limit=0", "", "", "limit"},
		{"limit=1001", "", "", "limit"},
		{"limit=two", "", "", "limit"},
		{"after_id=z", "", "", "after_id"},
		{"before_id=z", "", "", "before_id"},
		{"after_id=a&before_id=c", "", "", "before_id"},
	} {
		q, _ := url.ParseQuery(c.query)
		b, err := Models{}.Page(nil, list, q)
		if c.param != "" {
			var e *fault.Error
			if !errors.As(err, &e) || e.Code != fault.InvalidParameter || e.Param != c.param {
				t.Errorf("%s: error %v, want one of %s", c.query, err, c.param)
			}
			continue
		}
		var got struct {
			Data    []struct{ ID string }
			HasMore bool    `json:"has_more"`
			FirstID *string `json:"first_id"`
			LastID  *string `json:"last_id"`
		}
		if uerr := json.Unmarshal(b, &got); err != nil || uerr != nil {
			t.Fatalf("%s: %v, %v in %s", c.query, err, uerr, b)
		}
		ids := ""
		for _, m := range got.Data {
			ids += m.ID
		}
		if ids != c.ids || fmt.Sprint(got.HasMore) != c.more {
			t.Errorf("%s: %q, more %v; want %q, %s", c.query, ids, got.HasMore, c.ids, c.more)
		}
		if ids != "" && (*got.FirstID != ids[:1] || *got.LastID != ids[len(ids)-1:]) {
			t.Errorf("%s: from %s to %s in %s", c.query, *got.FirstID, *got.LastID, b)
		}
	}
}
