package endings

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pontage/pontage/internal/testkit"
	"github.com/pontage/pontage/test/harness"
)

const classesConfig = `
routing: {attempts: 1}
providers:
  up: {kind: openai, quirks: openai, base_url: "UP/v1", api_key: sk-upstream, catalog: none}
  claude: {kind: anthropic, base_url: "UP", api_key: sk-upstream, catalog: none}
  google: {kind: gemini, base_url: "UP", api_key: sk-upstream, catalog: none}
models:
  speaks: {input: [text, audio], targets: [{provider: up, model: theirs}], context: 8192, max_output: 1000, price: {input: 2.5, output: 10, audio_input: 32, audio_output: 64}}
  mute: {targets: [{provider: up, model: theirs}], context: 8192, max_output: 1000, price: {input: 2.5, output: 10}}
  searches: {targets: [{provider: up, model: theirs-search-preview}], context: 8192, max_output: 1000, price: {input: 2.5, output: 10, web_search: 0.025}}
  research: {targets: [{provider: up, model: theirs}], context: 200000, max_output: 128000, price: {input: 2, output: 8, reasoning: 3, web_search: 0.005}}
  tools: {targets: [{provider: up, model: theirs, api: responses}], context: 8192, max_output: 2000, price: {input: 1, output: 10, reasoning: 20, web_search: 0.01, file_search: 0.0025, code_execution: 0.03}}
  opus: {targets: [{provider: claude, model: theirs}], context: 8192, max_output: 1000, price: {input: 1, output: 5, web_search: 0.01}}
  banana: {input: [text, image], targets: [{provider: google, model: gemini-theirs}], context: 8192, max_output: 2000, price: {input: 0.3, output: 2.5, image_output: 30, web_search: 0.035}}
  paints: {kind: image, input: [text, image], max_output: 2000, targets: [{provider: up, model: theirs}], price: {input: 5, output: 10, image_input: 8, image_output: 32}}
sites: [{hosts: ["*"], contract: openai}]
`

// classed is an answer, whole or streamed, and what it costs.
type classed struct {
	name, path, body string
	up               testkit.Answer
	charge           string
	lines            string // kinds and units
}

func classedAnswers() []classed {
	events := func(s ...string) testkit.Answer { return testkit.SSE(s...) }
	named := func(s ...string) testkit.Answer {
		a := testkit.SSE(s...)
		for i := range a.Frames {
			var e struct{ Type string }
			if json.Unmarshal([]byte(s[i]), &e) == nil && e.Type != "" {
				a.Frames[i].Data = "event: " + e.Type + "\n" + a.Frames[i].Data
			}
		}
		return a
	}
	const (
		spoken    = `{"prompt_tokens":100,"completion_tokens":100,"total_tokens":200,"prompt_tokens_details":{"audio_tokens":60},"completion_tokens_details":{"audio_tokens":80,"text_tokens":20,"reasoning_tokens":0}}`
		research  = `{"prompt_tokens":1188,"completion_tokens":4240,"total_tokens":5428,"citation_tokens":8014,"num_search_queries":54,"reasoning_tokens":92431}`
		search    = `{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"x"}}`
		opens     = `{"type":"web_search_call","id":"ws_2","status":"completed","action":{"type":"open_page","url":"https://x"}}`
		files     = `{"type":"file_search_call","id":"fs_1","status":"completed","queries":["x"],"results":null}`
		code      = `{"type":"code_interpreter_call","id":"ci_1","status":"completed","container_id":"cntr_1","code":"1","outputs":null}`
		said      = `{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[]}]}`
		response  = `{"id":"resp_1","object":"response","status":"completed","error":null,"model":"theirs","output":[` + search + `,` + opens + `,` + files + `,` + code + `,` + code + `,` + said + `],"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":0},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":10},"total_tokens":37}}`
		claude    = `{"input_tokens":100,"output_tokens":40,"server_tool_use":{"web_search_requests":2,"web_fetch_requests":3}}`
		found     = `{"type":"web_search_tool_result","tool_use_id":"s","content":[]}`
		google    = `{"candidates":[{"content":{"role":"model","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]},"finishReason":"STOP","index":0,"groundingMetadata":{"webSearchQueries":["a","b"]}}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1304,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}],"totalTokenCount":1314},"modelVersion":"gemini-3-pro-image"}`
		ask       = `"messages":[{"role":"user","content":"hi"}]`
		speakBody = `{"model":"speaks","modalities":["text","audio"],"audio":{"voice":"alloy","format":"pcm16"},` + ask + `}`
		stream    = `"stream":true,"stream_options":{"include_usage":true},`
		stop      = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	)
	streamed := func(body string) string { return strings.Replace(body, "{", "{"+stream, 1) }
	sse := func(body string) string { return strings.Replace(body, "{", `{"stream":true,`, 1) }
	const (
		researchBody = `{"model":"research",` + ask + `}`
		searchBody   = `{"model":"searches",` + ask + `}`
		toolsBody    = `{"model":"tools","input":"hi","max_tool_calls":9,"tools":[{"type":"web_search"},{"type":"file_search","vector_store_ids":["v"]},{"type":"code_interpreter","container":{"type":"auto"}}]}`
		opusBody     = `{"model":"opus","max_tokens":100,` + ask + `,"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":3}]}`
		bananaBody   = `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"googleSearch":{}}],"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}`
		paintBody    = `{"model":"paints","prompt":"p","images":[{"image_url":"x"}]}`
		paints       = `{"input_tokens":221,"input_tokens_details":{"image_tokens":194,"text_tokens":27},"output_tokens":1318,"output_tokens_details":{"image_tokens":1056,"text_tokens":262},"total_tokens":1539}`
	)
	return []classed{
		{"sound", "/v1/chat/completions", speakBody, testkit.JSON(200, `{"choices":[{"index":0,"message":{"role":"assistant","content":null,"audio":{"id":"a","data":"eA==","transcript":"hi"}},"finish_reason":"stop"}],"usage":`+spoken+`}`), "0.00734", "input 40 audio_input 60 output 20 audio_output 80"},
		{"streamed sound", "/v1/chat/completions", streamed(speakBody), events(`{"choices":[{"index":0,"delta":{"role":"assistant","audio":{"id":"a","data":"eA=="}}}]}`, stop, `{"choices":[],"usage":`+spoken+`}`, "[DONE]"), "0.00734", "input 40 audio_input 60 output 20 audio_output 80"},
		{"a model that always searches", "/v1/chat/completions", searchBody, testkit.JSON(200, `{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`), "0.025075", "input 10 output 5 web_search 1"},
		{"the same, streamed", "/v1/chat/completions", streamed(searchBody), events(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, stop, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`, "[DONE]"), "0.025075", "input 10 output 5 web_search 1"},
		{"research", "/v1/chat/completions", researchBody, testkit.JSON(200, `{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":`+research+`}`), "0.599617", "input 9202 output 4240 reasoning 92431 web_search 54"},
		{"streamed research", "/v1/chat/completions", streamed(researchBody), events(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":`+research+`}`, "[DONE]"), "0.599617", "input 9202 output 4240 reasoning 92431 web_search 54"},
		{"tools of a response", "/v1/responses", toolsBody, testkit.JSON(200, response), "0.042907", "input 7 output 20 reasoning 10 web_search 1 file_search 1 code_execution 1"},
		{"the same, streamed", "/v1/responses", sse(toolsBody), named(`{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"model":"theirs","output":[]}}`, `{"type":"response.output_item.added","output_index":0,"item":`+search+`}`, `{"type":"response.output_item.done","output_index":0,"item":`+search+`}`, `{"type":"response.output_item.done","output_index":1,"item":`+opens+`}`, `{"type":"response.output_item.done","output_index":2,"item":`+files+`}`, `{"type":"response.output_item.done","output_index":3,"item":`+code+`}`, `{"type":"response.output_item.done","output_index":4,"item":`+code+`}`, `{"type":"response.output_item.done","output_index":5,"item":`+said+`}`, `{"type":"response.completed","response":`+response+`}`), "0.042907", "input 7 output 20 reasoning 10 web_search 1 file_search 1 code_execution 1"},
		{"searches of Claude", "/v1/messages", opusBody, testkit.JSON(200, `{"id":"msg","type":"message","role":"assistant","model":"theirs","content":[`+found+`,`+found+`,{"type":"text","text":"a"}],"stop_reason":"end_turn","stop_sequence":null,"usage":`+claude+`}`), "0.0203", "input 100 output 40 web_search 2"},
		{"the same, streamed", "/v1/messages", sse(opusBody), named(`{"type":"message_start","message":{"id":"msg","type":"message","role":"assistant","model":"theirs","content":[],"stop_reason":null,"usage":{"input_tokens":100,"output_tokens":1,"server_tool_use":{"web_search_requests":0}}}}`, `{"type":"content_block_start","index":0,"content_block":`+found+`}`, `{"type":"content_block_stop","index":0}`, `{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"a"}}`, `{"type":"content_block_stop","index":1}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":`+claude+`}`, `{"type":"message_stop"}`), "0.0203", "input 100 output 40 web_search 2"},
		{"an image of Gemini", "/v1beta/models/banana:generateContent", bananaBody, testkit.JSON(200, google), "0.108738", "input 10 output 14 image_output 1290 web_search 2"},
		{"the same, streamed", "/v1beta/models/banana:streamGenerateContent?alt=sse", bananaBody, events(google), "0.108738", "input 10 output 14 image_output 1290 web_search 2"},
		{"images and texts of one answer", "/v1/images/edits", paintBody, testkit.JSON(200, `{"data":[{"b64_json":"eA=="}],"usage":`+paints+`}`), "0.038099", "input 27 image_input 194 output 262 image_output 1056"},
	}
}

// recordedAnswers are what real providers said of searches, thoughts and images.
func recordedAnswers(t *testing.T) (out []classed) {
	const (
		opus    = `{"model":"opus","max_tokens":1000,"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}]}`
		banana  = `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"googleSearch":{}}]}`
		streams = "/v1beta/models/banana:streamGenerateContent?alt=sse"
	)
	for _, c := range []struct{ api, id, path, body, charge, lines string }{
		{"anthropic.messages", "anthropic.anthropic-messages.bd4380bf3d", "/v1/messages", opus, "0.019266", "input 8606 output 132 web_search 1"},
		{"anthropic.messages", "anthropic.anthropic-messages.470f18bc18", "/v1/messages", strings.Replace(opus, "{", `{"stream":true,`, 1), "0.025595", "input 13520 output 415 web_search 1"},
		{"gemini.streamGenerateContent", "gemini.gemini-streamgeneratecontent.fa13d66a9c", streams, banana, "0.0387473", "input 16 output 17 image_output 1290"},
		{"gemini.streamGenerateContent", "gemini.gemini-streamgeneratecontent.aa939c6c2d", streams, banana, "0.0356421", "input 182 output 235 web_search 1"},
		{"gemini.generateContent", "gemini.gemini-generatecontent.69b4e73b03", "/v1beta/models/banana:generateContent", banana, "0.0352253", "input 526 output 27 web_search 1"},
		{"openai.responses", "deepseek.openai-responses.474c9ab252", "/v1/responses", `{"model":"tools","input":"hi","tools":[{"type":"web_search"}]}`, "0.061216", "input 13514 cached_input 15872 output 717 reasoning 733 web_search 1"},
	} {
		all := testkit.Recorded(t, c.api)
		i := slices.IndexFunc(all, func(f *testkit.Fixture) bool { return f.ID == c.id })
		if i < 0 {
			t.Fatalf("there is no recording %s", c.id)
		}
		f := all[i]
		out = append(out, classed{c.id, c.path, c.body, testkit.Answer{Status: f.Response.Status, Header: f.Response.Header(), Body: f.Response.Body()}, c.charge, c.lines})
	}
	return out
}

// TestClassesOfOutputAndHostedToolsCost has answers with sound, images and thoughts, and
// with searches and code that the provider ran, through a running gateway: the charge to
// a nano-dollar, and the lines of the receipt.
func TestClassesOfOutputAndHostedToolsCost(t *testing.T) {
	t.Parallel()
	up := testkit.NewUpstream(t)
	gw := harness.Start(t, harness.Options{Config: strings.ReplaceAll(classesConfig, "UP", up.URL)})
	for _, c := range append(classedAnswers(), recordedAnswers(t)...) {
		a := gw.NewAccount(t, "a", "5")
		key := gw.NewKey(t, a.ID, nil).Key
		up.Always(c.up)
		resp, body, err := ask(t, gw.URL+c.path, key, "application/json", c.body, "")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %d %.300q, %v", c.name, resp.StatusCode, body, err)
			continue
		}
		r := gw.Receipt(t, resp.Header.Get("X-Request-Id"), func(r harness.Receipt) bool { return r.Outcome != "" })
		var lines []string
		sum := nano(t, "0")
		for _, l := range r.Lines {
			lines = append(lines, fmt.Sprintf("%s %d", l.Kind, l.Units))
			sum = sum.Add(sum, nano(t, l.AmountUSD))
		}
		if got := strings.Join(lines, " "); r.Estimated || got != c.lines || nano(t, r.ChargeUSD).Cmp(nano(t, c.charge)) != 0 || sum.Cmp(nano(t, c.charge)) != 0 {
			t.Errorf("%s: costs %s (%s), want %s (%s)", c.name, r.ChargeUSD, got, c.charge, c.lines)
		}
		if now := gw.AccountNow(t, a.ID); nano(t, now.BalanceUSD).Cmp(nano(t, "5").Sub(nano(t, "5"), nano(t, c.charge))) != 0 {
			t.Errorf("%s: leaves %s", c.name, now.BalanceUSD)
		}
	}
	a := gw.NewAccount(t, "a", "5")
	if resp, body, err := ask(t, gw.URL+"/v1/chat/completions", gw.NewKey(t, a.ID, nil).Key, "application/json", strings.Replace(classedAnswers()[0].body, "speaks", "mute", 1), ""); err != nil || resp.StatusCode != 400 || !strings.Contains(body, "Audio output is not supported") {
		t.Errorf("a model without a price for sound: %d %s, %v", resp.StatusCode, body, err)
	}
	gw.Verify(t)
}
