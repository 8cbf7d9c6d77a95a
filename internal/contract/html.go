package contract

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"slices"
	"strings"

	"github.com/pontage/pontage/internal/fault"
)

//go:embed page.html
var pageSource string

// page is well-formed XML as well as HTML, so that a test can read it strictly.
var page = template.Must(template.New("page").Funcs(template.FuncMap{"prose": prose}).Parse(pageSource))

// prose makes HTML of a sentence with `code` and *emphasis*; all else is escaped.
func prose(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			b.WriteString("<code>" + part + "</code>")
			continue
		}
		for j, word := range strings.Split(part, "*") {
			if j%2 == 1 {
				word = "<em>" + word + "</em>"
			}
			b.WriteString(word)
		}
	}
	return template.HTML(b.String())
}

// pageData is what the page is made of.
type pageData struct {
	Title     string
	About     string
	Always    string
	Retryable string
	Quick     *quickDebug
	Envelopes []pageEnvelope
}

type pageEnvelope struct {
	Name             string
	Routes           []string // empty: unknown paths only
	Frame            string
	HasType, HasCode bool
	Rows             []pageRow
}

type pageRow struct {
	ReferenceRow
	Anchor string // unique in the page; of the first envelope, the name of the fault
	Pretty string // the example, indented
}

// HTML writes the error reference of the contract as one page for a browser. It
// has neither scripts nor anything from elsewhere.
func (c *Contract) HTML(o PageOptions) []byte {
	o = o.withDefaults(c)
	d := pageData{
		Title: "Errors of " + o.Site, About: strings.TrimSpace(c.about), Always: everyAnswer,
		Retryable: c.worthRepeating(), Quick: c.quick(o),
	}
	for i, name := range c.Envelopes() {
		d.Envelopes = append(d.Envelopes, c.pageEnvelope(name, i == 0))
	}
	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return c.Page(o) // cannot be: the template is tested, and a buffer takes everything
	}
	return b.Bytes()
}

func (c *Contract) pageEnvelope(name string, first bool) pageEnvelope {
	out := pageEnvelope{Name: name, Routes: c.routesIn(name), Frame: c.brokenOff(name)}
	for _, r := range Reference(c) {
		if r.Envelope != name {
			continue
		}
		row := pageRow{ReferenceRow: r, Anchor: r.Fault, Pretty: r.Example}
		if !first {
			row.Anchor = name + "-" + r.Fault
		}
		var b bytes.Buffer
		if json.Indent(&b, []byte(r.Example), "", "  ") == nil {
			row.Pretty = b.String()
		}
		out.Rows = append(out.Rows, row)
	}
	out.HasType = slices.ContainsFunc(out.Rows, func(r pageRow) bool { return r.Type != "" })
	out.HasCode = slices.ContainsFunc(out.Rows, func(r pageRow) bool { return r.Code != "" })
	return out
}

// routesIn lists the routes that answer in an envelope, as method and path.
func (c *Contract) routesIn(envelope string) []string {
	var out []string
	for _, r := range c.routes {
		if r.Envelope == envelope {
			out = append(out, r.Method+" "+r.Path)
		}
	}
	return out
}

// brokenOff returns an example of what a stream ends with that breaks off.
func (c *Contract) brokenOff(envelope string) string {
	frame, _ := c.RenderFrame("", envelope, Sample(fault.StreamInterrupted), Facts{RequestID: sampleID})
	return strings.TrimRight(string(frame), "\n")
}
