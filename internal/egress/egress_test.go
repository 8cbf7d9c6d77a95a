package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pontage/pontage/internal/fault"
	"github.com/pontage/pontage/internal/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Files of the tests, as far as their types need them.
const (
	png  = "\x89PNG\r\n\x1a\n and so on"
	jpeg = "\xff\xd8\xff and so on"
	gif  = "GIF89a and so on"
	webp = "RIFF\x00\x00\x00\x00WEBPVP and so on"
	pdf  = "%PDF-1.7 and so on"
)

// names answers lookups, each time with the next of a name's answers, of which
// the last stays.
type names struct {
	answers map[string][][]netip.Addr
	asked   atomic.Int32
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.asked.Add(1)
	list := n.answers[host]
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(list) > 1 {
		n.answers[host] = list[1:]
	}
	return list[0], nil
}

var (
	outside = netip.MustParseAddr("127.0.0.1") // plays the public Internet
	inside  = netip.MustParseAddr("127.0.0.2") // plays a machine of ours
)

// world is a client, a server of the Internet that it may reach as
// files.example, and one at home at the same port, which it may not.
type world struct {
	*Client
	names *names
	home  *httptest.Server
	port  string
	got   chan *http.Request
	hits  atomic.Int32 // at home
}

func newWorld(t *testing.T, o Options, handler http.HandlerFunc) *world {
	t.Helper()
	w := &world{got: make(chan *http.Request, 64)}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.got <- r
		handler(rw, r)
	}))
	t.Cleanup(srv.Close)
	_, w.port, _ = net.SplitHostPort(srv.Listener.Addr().String())
	l, err := net.Listen("tcp", net.JoinHostPort(inside.String(), w.port))
	if err != nil {
		t.Fatalf("there is no second loopback address, as Linux always has: %v", err)
	}
	w.home = httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { w.hits.Add(1) }))
	_ = w.home.Listener.Close()
	w.home.Listener = counting{l, &w.hits}
	w.home.StartTLS()
	t.Cleanup(w.home.Close)
	w.names = &names{answers: map[string][][]netip.Addr{
		"files.example": {{outside}}, "home.example": {{inside}}, "both.example": {{inside, outside}}, "turns.example": {{outside}, {inside}},
	}}
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	w.Client = New(o)
	w.resolver = w.names
	w.public = func(a netip.Addr) bool { return a.Unmap() == outside }
	w.ports = map[string]string{"https": w.port, "http": "80"}
	w.tls = &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	return w
}

// counting counts connections, also those on which nothing is said.
type counting struct {
	net.Listener
	n *atomic.Int32
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

func everything(p *llm.Part) bool { return p.Kind == llm.PartImage || p.Kind == llm.PartFile }

func image(url string) llm.Part { return llm.Part{Kind: llm.PartImage, URL: url} }

func user(parts ...llm.Part) *llm.Chat {
	return &llm.Chat{Messages: []llm.Message{{Role: llm.RoleUser, Parts: parts}}}
}

func static(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// TestBytesStandWhereTheURLsWere has every place and type, and that nothing else
// changes, the conversation that was given least of all.
func TestBytesStandWhereTheURLsWere(t *testing.T) {
	t.Parallel()
	files := map[string]string{"/a.png": png, "/b.jpeg": jpeg, "/c.gif": gif, "/d.webp": webp, "/e.pdf": pdf}
	w := newWorld(t, Options{}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html") // which nobody believes
		_, _ = rw.Write([]byte(files[r.URL.Path]))
	})
	at := "https://files.example"
	chat := user(
		llm.Part{Text: "see"}, image(at+"/a.png"), llm.Part{Kind: llm.PartFile, URL: at + ":" + w.port + "/e.pdf", Name: "n"},
		llm.Part{Kind: llm.PartToolResult, ToolID: "t", Parts: []llm.Part{{Text: "x"}, image(at + "/c.gif")}},
		llm.Part{Kind: llm.PartVideo, URL: at + "/v"}, llm.Part{Kind: llm.PartImage, Data: "kept"},
	)
	chat.Messages = append(chat.Messages, llm.Message{Role: llm.RoleUser, Parts: []llm.Part{image(at + "/b.jpeg#x"), image(at + "/d.webp?size=1")}})
	out, err := w.Inline(t.Context(), chat, everything)
	if err != nil {
		t.Fatal(err)
	}
	b := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	p, q := out.Messages[0].Parts, out.Messages[1].Parts
	for _, c := range []struct {
		part        llm.Part
		media, data string
	}{
		{p[1], "image/png", b(png)},
		{p[2], "application/pdf", b(pdf)},
		{p[3].Parts[1], "image/gif", b(gif)},
		{q[0], "image/jpeg", b(jpeg)},
		{q[1], "image/webp", b(webp)},
		{p[5], "", "kept"},
	} {
		if c.part.MediaType != c.media || c.part.Data != c.data || c.part.URL != "" {
			t.Errorf("%s: %+v", c.media, c.part)
		}
	}
	if p[4].URL == "" || p[0].Text != "see" || p[2].Name != "n" || p[3].Parts[0].Text != "x" {
		t.Errorf("what was not fetched has changed: %+v", p)
	}
	if chat.Messages[0].Parts[1].URL == "" || chat.Messages[0].Parts[3].Parts[1].URL == "" || chat.Messages[0].Parts[1].Data != "" {
		t.Errorf("the conversation itself has changed: %+v", chat)
	}
	r := <-w.got
	if len(r.Header) != 3 || r.Header.Get("User-Agent") != "pontage-fetch" || r.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("the request says %v", r.Header)
	}
}

// TestWhatIsNotFetched has what is refused, where, and what the caller reads.
func TestWhatIsNotFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{MaxBytes: 1000, Hosts: []string{"*.example", "127.0.0.2", "[::1]", "localhost"}}, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			rw.WriteHeader(http.StatusNotFound)
		case "/html":
			_, _ = rw.Write([]byte("<html>"))
		case "/pdf":
			_, _ = rw.Write([]byte(pdf))
		case "/long":
			_, _ = rw.Write([]byte(png + strings.Repeat("x", 1000)))
		case "/endless":
			for range 100 {
				_, _ = rw.Write([]byte(png + strings.Repeat("x", 100)))
				rw.(http.Flusher).Flush()
			}
		case "/packed":
			rw.Header().Set("Content-Encoding", "gzip")
		case "/home":
			http.Redirect(rw, r, "https://home.example/", http.StatusFound)
		case "/plain":
			http.Redirect(rw, r, "http://files.example/", http.StatusFound)
		case "/address":
			http.Redirect(rw, r, "https://127.0.0.2/", http.StatusFound)
		case "/round":
			http.Redirect(rw, r, "/round", http.StatusFound)
		}
	})
	const cannot = "cannot be fetched from its address"
	for _, c := range []struct{ url, want string }{
		{"https://home.example/", cannot},
		{"https://nowhere.example/", cannot},
		{"https://127.0.0.2/", cannot},
		{"https://localhost/", cannot},
		{"https://files.other/", "is at a host that is not reached"},
		{"https://example/", "is at a host that is not reached"},
		{"https://169.254.169.254/latest/meta-data", "is at a host that is not reached"},
		{"http://files.example/", "is not fetched by http; use https"},
		{"file:///etc/passwd", "has no address that can be read"},
		{"gopher://files.example/", "is not fetched by gopher; use https"},
		{"s3://files.example/x", "is not fetched by s3; use https"},
		{"https:files.example", "has no address that can be read"},
		{"https://user:pass@files.example/", "has an address with credentials"},
		{"https://files.example:22/", "is at a port that is not reached"},
		{"https://files.example/" + strings.Repeat("x", maxURL), "has too long an address"},
		{"https://files.example/gone", "is answered with status 404"},
		{"https://files.example/html", "is not of a type that is taken"},
		{"https://files.example/pdf", "is not of a type that is taken"}, // where an image stands
		{"https://files.example/long", "is longer than the 1000 bytes"},
		{"https://files.example/endless", "is longer than the 1000 bytes"},
		{"https://files.example/packed", "is sent compressed"},
		{"https://files.example/home", "redirects to another host"},
		{"https://files.example/plain", "is not fetched by http"},
		{"https://files.example/address", "redirects to another host"},
		{"https://files.example/round", "redirects too often"},
	} {
		_, err := w.Inline(t.Context(), user(llm.Part{Text: "a"}, image(c.url)), everything)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != fault.InvalidParameter || f.Param != "messages.0.content.1" || !strings.Contains(f.Message, c.want) {
			t.Errorf("%.60s: %v, want %q", c.url, err, c.want)
			continue
		}
		if strings.Contains(f.Message, "127.0.0") || strings.Contains(f.Message, "no such host") {
			t.Errorf("%s: the caller reads of our network: %s", c.url, f.Message)
		}
	}
	if n := w.hits.Load(); n != 0 {
		t.Errorf("the machine at home was reached %d times", n)
	}
}

// TestANameIsResolvedOnce has names whose answers change, or are mixed: the
// address that was judged is the one that is connected to.
func TestANameIsResolvedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(rw, r, "/again", http.StatusFound)
			return
		}
		_, _ = rw.Write([]byte(png))
	})
	for _, host := range []string{"turns.example", "both.example"} {
		before := w.names.asked.Load()
		if _, err := w.Inline(t.Context(), user(image("https://"+host+"/")), everything); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if n := w.names.asked.Load() - before; n != 1 {
			t.Errorf("%s was looked up %d times", host, n)
		}
	}
	// Now that the name has turned, it leads nowhere.
	if _, err := w.Inline(t.Context(), user(image("https://turns.example/")), everything); err == nil {
		t.Error("a name that leads home was fetched")
	}
	if n := w.hits.Load(); n != 0 {
		t.Errorf("the machine at home was reached %d times", n)
	}
}

// TestTheConnectionIsJudgedToo has an address that was let pass by mistake.
func TestTheConnectionIsJudgedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, static(png))
	tr := w.transport([]netip.Addr{inside})
	_, err := tr.RoundTrip(request(t.Context(), mustParse(t, w.Client, "https://files.example/")))
	if err == nil || !strings.Contains(err.Error(), "not public") || w.hits.Load() != 0 {
		t.Errorf("%v, and %d connections", err, w.hits.Load())
	}
}

// TestEnvironmentProxiesAreNotUsed has that no proxy resolves names in our place.
func TestEnvironmentProxiesAreNotUsed(t *testing.T) {
	t.Parallel()
	if New(Options{}).transport(nil).Proxy != nil {
		t.Error("there is a proxy")
	}
}

// TestBoundsOfARequest has files and bytes in total.
func TestBoundsOfARequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{MaxFiles: 2, MaxTotal: 50}, static(png))
	at := image("https://files.example/x")
	if _, err := w.Inline(t.Context(), user(at, at), everything); err != nil {
		t.Error(err)
	}
	var f *fault.Error
	if _, err := w.Inline(t.Context(), user(at, at, at), everything); !errors.As(err, &f) || f.Param != "messages.0.content.2" || !strings.Contains(f.Message, "At most 2 files") {
		t.Errorf("%v", err)
	}
	w = newWorld(t, Options{MaxTotal: int64(len(png)) + 1}, static(png))
	// Which of them is the one too many is for the network to tell.
	if _, err := w.Inline(t.Context(), user(at, at), everything); !errors.As(err, &f) || !strings.HasPrefix(f.Param, "messages.0.content.") || !strings.Contains(f.Message, fmt.Sprintf("longer than the %d bytes", len(png)+1)) {
		t.Errorf("%v", err)
	}
}

// TestAServerThatHangsIsGivenUp has one that says nothing, and others that wait
// for their turn behind it.
func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{Timeout: 50 * time.Millisecond, Concurrency: 1}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := w.Inline(t.Context(), user(image("https://files.example/x")), everything)
			done <- err
		}()
	}
	for range 2 {
		var f *fault.Error
		if err := <-done; !errors.As(err, &f) || f.Code != fault.InvalidParameter || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := w.Inline(ctx, user(image("https://files.example/x")), everything); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who left: %v", err)
	}
}

// TestPublic has addresses of every network that is not the Internet, in every
// form in which they can be written.
func TestPublic(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
		"240.0.0.1", "255.255.255.255",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "3fff::1", "100::1",
		"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::10.0.0.1", "::127.0.0.1",
		"64:ff9b::a00:1", "64:ff9b:1::a00:1", "64:ff9b::808:808", "2002:a00:1::1", "2002:7f00:1::", "2001:0:53aa:64c::1", "2606:4700::1%1",
	} {
		if Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is taken for public", s)
		}
	}
	for _, s := range []string{"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "168.63.129.17", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1"} {
		if !Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not taken for public", s)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is taken for public")
	}
}

// TestNumbersInOtherFormsAreNames has hosts that some resolvers read as
// addresses: here they are looked up, and what comes of it is judged.
func TestNumbersInOtherFormsAreNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Options{}, static(png))
	for i, host := range []string{"2130706434", "0x7f.2", "127.2", "0177.0.0.2", "127.0.0.2."} {
		w.names.answers[host] = [][]netip.Addr{{inside}}
		if _, err := w.Inline(t.Context(), user(image("https://"+host+"/")), everything); err == nil {
			t.Errorf("%s was fetched", host)
		}
		if n := int(w.names.asked.Load()); n != i+1 {
			t.Errorf("%s: %d lookups", host, n)
		}
	}
	if n := w.hits.Load(); n != 0 {
		t.Errorf("the machine at home was reached %d times", n)
	}
}

func mustParse(t *testing.T, c *Client, s string) *url.URL {
	t.Helper()
	u, err := c.check(s)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", s, err))
	}
	return u
}
