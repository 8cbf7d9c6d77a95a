package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is one line of testdata/statuses.md.
type row struct {
	families []string // nil: all
	status   int
	says     map[string]string
	retry    bool // it is asked again
	next     bool // the next target is asked
	state    string
	face     string
	after    int // Retry-After, in seconds
}

// family is a protocol with the ways of a vendor.
type family struct {
	config string // of its provider, with %s for the base URL
	api    string // of its targets
	shape  string // of its errors
}

var families = map[string]family{
	"openai":     {config: "kind: openai, quirks: openai, base_url: %q", shape: "openai"},
	"responses":  {config: "kind: openai, quirks: openai, base_url: %q", api: ", api: responses", shape: "openai"},
	"azure":      {config: "kind: azure, base_url: %q", shape: "openai"},
	"openrouter": {config: "kind: openai, quirks: openrouter, base_url: %q", shape: "openrouter"},
	"groq":       {config: "kind: openai, quirks: groq, base_url: %q", shape: "openai"},
	"mistral":    {config: "kind: openai, quirks: mistral, base_url: %q", shape: "flat"},
	"deepseek":   {config: "kind: openai, quirks: deepseek, base_url: %q", shape: "openai"},
	"xai":        {config: "kind: openai, quirks: xai, base_url: %q", shape: "string"},
	"fireworks":  {config: "kind: openai, quirks: fireworks, base_url: %q", shape: "openai"},
	"anthropic":  {config: "kind: anthropic, base_url: %q", shape: "anthropic"},
	"gemini":     {config: "kind: gemini, base_url: %q", shape: "google"},
	"bedrock":    {config: "kind: bedrock, region: us-east-1, base_url: %q", shape: "aws"},
	"vertex":     {config: "kind: vertex, base_url: %q", shape: "google"},
}

var pair = regexp.MustCompile(`(\w+)=("(?:[^"\\]|\\.)*"|\S+)`)

// readTable reads testdata/statuses.md.
func readTable(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile("testdata/statuses.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for i, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " |")
		if !strings.HasPrefix(line, "| ") || len(cells) != 6 || strings.HasPrefix(line, "| families") {
			continue
		}
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		r := row{says: map[string]string{}, state: cells[4]}
		if cells[0] != "*" {
			r.families = strings.Fields(cells[0])
		}
		r.status, err = strconv.Atoi(cells[1])
		for _, m := range pair.FindAllStringSubmatch(cells[2], -1) {
			if r.says[m[1]] = m[2]; m[2][0] == '"' {
				r.says[m[1]], err = strconv.Unquote(m[2])
			}
		}
		if cells[2] == "html" {
			r.says["html"] = "yes"
		}
		r.retry, r.next = strings.Contains(cells[3], "retry"), strings.Contains(cells[3], "next")
		face, after, _ := strings.Cut(cells[5], " after=")
		r.face = face
		r.after, _ = strconv.Atoi(after)
		states := []string{"-", "breaker", "cooldown", "quarantine"}
		if _, known := faces[face]; !known || err != nil || !r.next && cells[3] != "return" || !slices.Contains(states, r.state) {
			t.Fatalf("testdata/statuses.md:%d cannot be read: %s", i+1, line)
		}
		rows = append(rows, r)
	}
	if len(rows) < 100 {
		t.Fatalf("the table has %d rows: is it read right?", len(rows))
	}
	return rows
}

// of returns the rows of a family.
func of(rows []row, name string) []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.families != nil && !slices.Contains(r.families, name) })
}

const page = "<!DOCTYPE html><html><head><title>Attention required</title></head><body>secret words</body></html>"

// body is the error in the envelope of a family.
func (r row) body(shape string) string {
	if r.says["html"] != "" {
		return page
	}
	text := r.says["text"]
	if text == "" {
		text = "words of the provider"
	}
	known := func(name string) any {
		if v := r.says[name]; v != "" {
			return v
		}
		return nil
	}
	type object = map[string]any
	var body object
	switch shape {
	case "openai":
		body = object{"error": object{"message": text, "type": known("type"), "param": known("param"), "code": known("code")}}
	case "openrouter":
		more := object{}
		for name, member := range map[string]string{"code": "error_type", "raw": "raw", "source": "limit_source"} {
			if v := r.says[name]; v != "" {
				more[member] = v
			}
		}
		if v := r.says["reasons"]; v != "" {
			more["reasons"] = []string{v}
		}
		body = object{"error": object{"message": text, "code": r.status, "metadata": more}, "user_id": "user_1"}
	case "flat":
		body = object{"object": "error", "message": text, "type": known("type"), "param": known("param"), "code": known("code")}
	case "string":
		body = object{"code": known("code"), "error": text}
	case "anthropic":
		e := object{"type": known("type"), "message": text}
		if v := r.says["code"]; v != "" {
			e["details"] = object{"error_code": v}
		}
		body = object{"type": "error", "error": e, "request_id": "req_1"}
	case "aws":
		body = object{"message": text}
		if v := r.says["code"]; v != "" {
			body["__type"] = "com.amazon.coral.service#" + v
		}
	case "google":
		var details []object
		if v := r.says["reason"]; v != "" {
			details = append(details, object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": v, "domain": "googleapis.com"})
		}
		if v := r.says["delay"]; v != "" {
			details = append(details, object{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": v + "s"})
		}
		if v := r.says["quota"]; v != "" {
			details = append(details, object{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []object{{"quotaId": v}}})
		}
		body = object{"error": object{"code": r.status, "message": text, "status": known("code"), "details": details}}
	}
	b, err := json.Marshal(body)
	if err != nil || body == nil {
		panic(fmt.Sprintf("shape %q: %v", shape, err))
	}
	return string(b)
}
