package token

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/llm"
)

const pdf = "application/pdf"

func packed(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

// nothing is a long stream that unpacks to nothing: empty blocks.
func nothing(blocks int) string {
	return "\x78\x9c" + strings.Repeat("\x00\x00\x00\xff\xff", blocks) + "\x01\x00\x00\xff\xff\x00\x00\x00\x01"
}

func TestPagesOfADocumentAreCounted(t *testing.T) {
	t.Parallel()
	leaf := "<</Type /Page /Parent 1 0 R>>\n"
	for _, c := range []struct {
		name, pdf string
		want      int64
	}{
		{"one by one", "%PDF-1.4\n<</Type/Pages/Count 2>>\n" + leaf + "<</Type/Page/Parent 1 0 R>>", 2},
		{"packed", "%PDF-1.5\n7 0 obj<</Type /ObjStm /N 3 /First 20 /Length 99 /Filter /FlateDecode>>\nstream\r\n" + packed(strings.Repeat(leaf, 40)) + "\nendstream" + strings.Repeat("%", 1<<10), 40},
		{"in two streams", "%PDF-1.5\n<</Type/ObjStm/Filter/FlateDecode>>stream\n" + packed(strings.Repeat(leaf, 3)) + "\nendstream\n<</Type/ObjStm>>stream\n" + packed(leaf) + "endstream", 4},
		{"by its own count", "%PDF-1.4\n<</Type/Pages/Count 12>> <</Encrypt 3 0 R>>", 12},
		{"packed, by its own count", "%PDF-1.5\n<</Type/ObjStm>>stream\n" + packed("<</Type/Pages/Count 7>>"), 7},
		{"of nothing to be seen", "%PDF-1.4\nnothing", unknownPages},
		{"packed more than is unpacked", "%PDF-1.5\n<</Type/ObjStm>>stream\n" + packed(strings.Repeat(" ", 1<<20)), unknownPages},
		{"more than anybody takes", "%PDF-1.4\n" + strings.Repeat(leaf, 2*mostPages), mostPages},
		{"packed in more than a piece", "%PDF-1.5\n<</Type/ObjStm>>stream\n" + packed(strings.Repeat(strings.Repeat("% ", 1000)+leaf, 123)) + strings.Repeat("%", 1<<16), 123},
		{"one stream that is named often, and says nothing", "%PDF-1.5\n" + leaf + strings.Repeat("/ObjStm", 40) + "stream\n" + nothing(1<<10) + "endstream", unknownPages},
		{"a count that lies", "%PDF-1.4\n<</Count 999999>>", mostPages},
	} {
		for _, escaped := range []bool{false, true} {
			data := base64.StdEncoding.EncodeToString([]byte(c.pdf))
			if escaped {
				data = strings.ReplaceAll(data, "/", `\/`)
			}
			var s llm.Size
			Document(&s, pdf, []byte(data))
			if s.Pages != c.want || s.Images != 1 || s.Media != int64(len(data)) {
				t.Errorf("%s, escaped %v: %+v, want %d pages", c.name, escaped, s, c.want)
			}
		}
	}
}

// Clients write base64 with other letters, and escape more of it than they must.
func TestADocumentIsReadInEverySpelling(t *testing.T) {
	t.Parallel()
	leaves := "%PDF-1.4\n\xff\xfe\xfb\xef\n" + strings.Repeat("<</Type/Page>>", 3) + "\xff\xff"
	std := base64.StdEncoding.EncodeToString([]byte(leaves))
	url := base64.URLEncoding.EncodeToString([]byte(leaves))
	if !strings.ContainsAny(std, "+/") || !strings.HasSuffix(std, "=") {
		t.Fatal(std)
	}
	for data, want := range map[string]int64{
		std:                                    3,
		url:                                    3,
		strings.ReplaceAll(std, "=", `\u003d`): 3,
		strings.Replace(std, "J", `\u004a`, 1): 3,
		std[:40] + `\r\n` + std[40:]:           3,
		std[:len(std)-8] + "!" + std[len(std)-8:]:      unknownPages,
		std[:len(std)-8] + `\u0021` + std[len(std)-8:]: unknownPages,
	} {
		var s llm.Size
		Document(&s, pdf, []byte(data))
		if s.Pages != want {
			t.Errorf("%s: %d pages, want %d", data, s.Pages, want)
		}
	}
}

func TestADocumentWeighsMoreThanItsTokens(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("The quick brown fox. ", 1000)
	enc := base64.StdEncoding.EncodeToString([]byte(text))
	var s llm.Size
	Document(&s, "text/plain; charset=utf-8", []byte(enc))
	if Upper(s) < Count(text) {
		t.Errorf("a text weighs %d, and has %d tokens", Upper(s), Count(text))
	}
	s = llm.Size{}
	Document(&s, "application/vnd.openxmlformats-officedocument.wordprocessingml.document", []byte(base64.StdEncoding.EncodeToString([]byte(packed(text+fmt.Sprint(t.Name()))))))
	if s.ASCII == 0 {
		t.Errorf("an office document weighs nothing: %+v", s)
	}
	s = llm.Size{}
	Elsewhere(&s)
	if Upper(s) < 100*3000 { // as Anthropic documents of a hundred dense pages
		t.Errorf("a document elsewhere weighs %d", Upper(s))
	}
}

// FuzzPages has that no document makes counting fail, or come to nothing.
func FuzzPages(f *testing.F) {
	f.Add([]byte("%PDF-1.5\n<</Type/ObjStm>>stream\n" + packed("/Type/Page ")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := pages(b); n < 1 || n > mostPages {
			t.Errorf("%d pages", n)
		}
	})
}
