package provider

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pontage/pontage/internal/fault"
)

// actions writes down what a failure asks for: R retry, F fail over, Q
// quarantine, B breaker, S sent.
func actions(f *Failure) string {
	var b strings.Builder
	for _, x := range []struct {
		set  bool
		name byte
	}{{f.Retry, 'R'}, {f.Failover, 'F'}, {f.Quarantine, 'Q'}, {f.Breaker, 'B'}, {f.Sent, 'S'}} {
		if x.set {
			b.WriteByte(x.name)
		}
	}
	return b.String()
}

func verdictOf(f *Failure) string {
	return strings.TrimSpace(f.Fault.Code.String() + " " + actions(f))
}

// What the tables of protocols.md §2.3 and §4.3 say of the kinds.
const (
	tooLong   = "context_length_exceeded"
	policy    = "content_policy"
	auth      = "upstream_auth FQ"
	noAccess  = "upstream_auth F"
	quota     = "upstream_quota FQ"
	rate      = "upstream_rate_limited RF"
	never     = "upstream_rate_limited F"
	bigger    = "body_too_large F"
	noModel   = "model_not_found F"
	config    = "upstream_failed FB"
	broken    = "upstream_failed RFBS"
	busy      = "upstream_overloaded RFB"
	late      = "upstream_timeout FBS"
	unreached = "no_target RFB"
	badCall   = "upstream_failed RFS"
)

// TestTablesOfErrors has a row for each line of the tables of protocols.md §2.3
// that no recording shows.
func TestTablesOfErrors(t *testing.T) {
	t.Parallel()
	code := func(c string) string {
		return fmt.Sprintf(`{"error":{"message":"m","type":"invalid_request_error","code":%q}}`, c)
	}
	says := func(m string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"type":"invalid_request_error","code":null}}`, m)
	}
	for _, c := range []struct {
		family string
		status int
		body   string
		want   string
	}{
		{"openai", 400, says("This model's maximum context length is 8192 tokens"), tooLong},
		{"openai", 400, says("Your input tokens exceed the configured limit of 1000 tokens"), tooLong},
		{"openai", 429, `{"error":{"type":"insufficient_quota","code":"organization_spend_limit_exceeded"}}`, quota},
		{"openai", 429, `{"error":{"type":"insufficient_quota","code":"organization_usage_limit_exceeded"}}`, quota},
		{"openai", 400, says("prompt tokens (9000) exceed model maximum (8192)"), tooLong},
		{"anthropic", 400, says("messages.1.content.0: thinking blocks in the latest assistant message cannot be modified"), "invalid_request"},
		{"mistral", 400, `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"invalid_request_error","code":null}`, rate},
		{"deepseek", 402, says("Insufficient Balance"), quota},
		{"gemini", 400, `{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"x\" at 'tools[0]': Cannot find field.","status":"INVALID_ARGUMENT"}}`, "invalid_request"},
		{"openrouter", 520, `<html>`, broken},
		{"openai", 400, says("Input tokens exceed the configured limit of 272000 tokens."), tooLong},
		{"openai", 400, code("unknown_parameter"), "unknown_parameter"},
		{"openai", 400, code("string_above_max_length"), "invalid_parameter"},
		{"openai", 400, code("integer_below_min_value"), "invalid_parameter"},
		{"openai", 400, code("missing_required_parameter"), "missing_parameter"},
		{"openai", 400, code("invalid_type"), "invalid_type"},
		{"openai", 400, code("invalid_value"), "invalid_parameter"},
		{"openai", 400, code("invalid_json_schema"), "invalid_json_schema"},
		{"openai", 400, `{"error":{"message":"m","param":"tool_choice","code":"unsupported_value"}}`, "tool_choice_unsupported"},
		{"openai", 400, `{"error":{"message":"'flex' is not allowed for this project","param":"service_tier","code":"invalid_value"}}`, config},
		{"openai", 400, code("content_policy_violation"), policy},
		{"openai", 400, code("invalid_prompt"), policy},
		{"openrouter", 400, code("invalid_prompt"), "invalid_request"},
		{"openai", 400, code("moderation_blocked"), policy},
		{"openai", 400, code("bio_policy"), policy},
		{"openai", 400, code("invalid_encrypted_content"), "invalid_request"},
		{"openai", 400, code("invalid_image_url"), "invalid_parameter"},
		{"openai", 400, code("image_too_large"), "invalid_parameter"},
		{"openai", 400, code("failed_to_download_image"), "invalid_parameter"},
		{"openai", 403, `{}`, auth},
		{"openai", 403, code("model_not_found"), noModel},
		{"openai", 409, `{}`, "upstream_failed RF"},
		{"openai", 413, `{}`, "body_too_large"},
		{"openai", 429, `{"error":{"type":"insufficient_quota","code":"credit_balance_exhausted"}}`, quota},
		{"openai", 429, `{"error":{"type":"insufficient_quota","code":"project_spend_limit_exceeded"}}`, quota},
		{"openai", 429, `{"error":{"type":"insufficient_quota","code":null}}`, quota},
		{"openai", 429, code("billing_hard_limit_reached"), quota},
		{"openai", 429, `{"error":{"type":"rate_limit_error","code":"slow_down"}}`, never},
		{"openai", 429, `{"error":{"type":"tokens","code":"rate_limit_exceeded","message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."}}`, bigger},
		{"openai", 503, `{"error":{"type":"service_unavailable_error","code":"server_is_overloaded"}}`, busy},
		{"openai", 200, `{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}`, quota + "S"},
		{"openai", 200, `{"error":{"type":"tokens","code":"rate_limit_exceeded"}}`, rate + "S"},
		{"openai", 200, `{"error":{"type":"server_error"}}`, broken},
		{"openai", 200, `{"error":"something"}`, broken},
		{"openai", 200, `{"error":{"code":"rate_limit_exceeded"}}`, rate + "S"}, // no type

		{"azure", 400, `{"error":{"code":null,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, policy},
		{"azure", 401, `{"error":{"code":"PermissionDenied","message":"The principal lacks the required data action"}}`, auth},
		{"azure", 403, `{"error":{"message":"Access denied due to Virtual Network/Firewall rules."}}`, noAccess},
		{"azure", 404, `{"error":{"code":"DeploymentNotFound"}}`, config},

		{"anthropic", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, tooLong},
		{"anthropic", 400, `{"error":{"type":"invalid_request_error","message":"input length and max_tokens exceed context limit: 1 + 2 > 3"}}`, tooLong},
		{"anthropic", 400, "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"messages.1.content.0: Invalid `signature` in `thinking` block\"}}", "invalid_request"},
		{"anthropic", 400, `{"error":{"type":"invalid_request_error","message":"tool_choice: type \"tool\" and \"any\" are not supported for this model."}}`, "tool_choice_unsupported"},
		{"anthropic", 400, `{"error":{"type":"invalid_request_error","message":"\"thinking.type.enabled\" is not supported for this model."}}`, "unsupported_parameter"},
		{"anthropic", 400, `{"error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits."}}`, quota},
		{"anthropic", 402, `{"error":{"type":"billing_error","message":"m"}}`, quota},
		{"anthropic", 403, `{"error":{"type":"permission_error","message":"m"}}`, auth},
		{"anthropic", 409, `{"error":{"type":"conflict_error"}}`, "upstream_failed RF"},
		{"anthropic", 413, `<html><body>413</body></html>`, "body_too_large"},
		{"anthropic", 429, `{"error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}`, quota},
		{"anthropic", 504, `{"error":{"type":"timeout_error"}}`, late},
		{"anthropic", 200, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, busy + "S"},
		{"anthropic", 200, `{"type":"error","error":{"type":"api_error"}}`, broken},
		{"anthropic", 200, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 5 tokens > 4 maximum"}}`, tooLong + " S"},

		{"openrouter", 402, `{"error":{"code":402,"message":"m","metadata":{"limit_source":"openrouter_in_flight_budget"}}}`, rate},
		{"openrouter", 403, `{"error":{"code":403,"message":"m","metadata":{"reasons":["violence"]}}}`, policy},
		{"openrouter", 408, `{"error":{"code":408}}`, late},
		{"openrouter", 502, `{"error":{"code":502,"message":"Provider returned error"}}`, broken},
		{"openrouter", 400, `{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens, you asked 9000\"}}"}}}`, tooLong},
		{"openrouter", 400, `{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"x\",\"code\":\"unsupported_parameter\"}}"}}}`, "unsupported_parameter"},
		{"openrouter", 200, `{"error":{"code":429,"message":"m"}}`, rate + "S"},
		{"openrouter", 200, `{"error":{"code":502,"message":"Provider disconnected","metadata":{"error_type":"provider_unavailable"}},"choices":[]}`, broken},
		{"openrouter", 200, `{"choices":[{"finish_reason":"error","native_finish_reason":"network_error"}]}`, broken},

		{"groq", 400, code("tool_use_failed"), badCall},
		{"groq", 498, `{"error":{"code":"capacity_exceeded"}}`, busy},
		{"groq", 498, `{}`, busy},
		{"groq", 200, `{"error":{"message":"m","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}`, badCall},
		{"groq", 424, `{}`, broken},
		{"deepseek", 422, `{"error":{"message":"m"}}`, "invalid_request"},
		{"mistral", 422, `{"detail":[{"loc":["body","messages",0,"role"],"msg":"Input should be 'user'","type":"enum"}]}`, "invalid_parameter"},
		{"mistral", 400, `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"x","code":"3505"}`, rate},
		{"mistral", 402, `{"message":"m"}`, quota},
		{"xai", 400, `{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***ey."}`, auth},
		{"xai", 403, `{"code":"The caller does not have permission","error":"Your newly created team doesn't have any credits yet."}`, quota},
		{"xai", 403, `{"code":"x","error":"blocked"}`, auth},
		{"fireworks", 402, `{}`, quota},
		{"fireworks", 412, `{"error":{"message":"account suspended"}}`, quota},
		{"together", 524, `<html></html>`, late},
		{"together", 529, `{}`, busy},
		{"vllm", 400, `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}`, tooLong},
		{"vllm", 400, `{"error":{"message":"You passed 4097 input tokens and requested 5 output tokens.","type":"BadRequestError","code":400}}`, tooLong},
		{"vllm", 500, `{"error":{"message":"This model's maximum context length is 4096 tokens.","code":500}}`, tooLong},
		{"llamacpp", 400, `{"error":{"code":400,"message":"request (9 tokens) exceeds the available context size (8 tokens)","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}`, tooLong},
		{"llamacpp", 200, `{"error":{"code":400,"message":"too big","type":"exceed_context_size_error"}}`, tooLong + " S"},
		{"llamacpp", 503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, busy},
		{"ollama", 404, `{"error":{"message":"model not found","type":"not_found_error","param":null,"code":null}}`, noModel},
		{"ollama", 500, `{"error":"llama runner has terminated"}`, broken},
		{"cerebras", 400, `{"message":"Please reduce the length. Current length is 9000 while limit is 8192","code":"x"}`, tooLong},
		{"generic", 422, "{\"error\":\"`inputs` tokens + `max_new_tokens` must be <= 4096\"}", tooLong},
		{"gemini", 400, `[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]`, auth},
		{"gemini", 429, `[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]`, rate},
		{"gemini", 429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}]}}`, rate},
		{"gemini", 429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"x"},{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"34s"}]}}`, quota},
		{"gemini", 402, `{"error":{"code":402,"status":"RESOURCE_EXHAUSTED","message":"m"}}`, quota},
		{"gemini", 400, `{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"User location is not supported for the API use."}}`, config},
		{"gemini", 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."}}`, tooLong},
		{"gemini", 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Function call is missing a thought_signature in functionCall parts."}}`, "invalid_request"},
		{"gemini", 401, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`, auth},
		{"gemini", 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"Vertex AI API has not been used in project 1 before or it is disabled."}}`, config},
		{"gemini", 403, `{"error":{"code":403,"status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}}`, config},
		{"gemini", 404, `{"error":{"code":404,"status":"NOT_FOUND"}}`, noModel},
		{"gemini", 499, `{"error":{"code":499,"status":"CANCELLED"}}`, broken},
		{"gemini", 500, `{"error":{"code":500,"status":"INTERNAL"}}`, broken},
		{"gemini", 503, `{"error":{"code":503,"status":"UNAVAILABLE"}}`, busy},
		{"gemini", 504, `{"error":{"code":504,"status":"DEADLINE_EXCEEDED"}}`, late},
		{"gemini", 200, `{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`, busy + "S"},
		// Claude on Vertex AI: the error of one within the words of the other.
		{"anthropic", 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 210000 tokens > 200000 maximum\"}}"}}`, tooLong},
		{"anthropic", 529, `{"error":{"code":529,"status":"X","message":"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}"}}`, busy},
		{"generic", 403, `<!DOCTYPE html><title>Just a moment...</title>`, broken},
		{"generic", 522, `<html>`, unreached},
		{"generic", 524, `<html>`, late},
		{"generic", 526, `<html>`, unreached},
		{"generic", 302, ``, config},
		{"generic", 404, `{"error":"Specified model not found: m"}`, noModel},
		{"generic", 404, `{"detail":"Not Found"}`, config},
		{"generic", 404, `<html>not found</html>`, config},
		{"generic", 400, ``, "invalid_request"},
		{"", 400, `{"error":{"code":null,"type":null,"message":null}}`, "invalid_request"},
		{"generic", 503, `None`, busy},
		{"generic", 401, `{"error":{"type":["x"],"code":{"a":1},"message":7,"param":false}}`, auth},

		// Words of a prompt that is echoed do not change what a status says.
		{"openai", 400, says("Invalid value: 'rate limit 429 insufficient_quota overloaded'"), "invalid_request"},
		{"openai", 400, says("I asked: your credit balance is too low"), "invalid_request"},
		{"openai", 500, says("maximum context length of trouble"), broken},
		{"openai", 429, says("maximum context length"), rate},
	} {
		if got := verdictOf(Classify(c.family, c.status, nil, []byte(c.body))); got != c.want {
			t.Errorf("Classify(%s, %d, %s) = %s, want %s", c.family, c.status, c.body, got, c.want)
		}
	}
}

// TestEveryStatusOfEveryFamilyHasAClass is the table of retry classes: what a
// status means where the body says nothing.
func TestEveryStatusOfEveryFamilyHasAClass(t *testing.T) {
	t.Parallel()
	want := func(family string, status int) string {
		switch {
		case status < 400:
			return config
		case status == 412 && family == "fireworks":
			return quota
		}
		switch status {
		case 400, 422:
			return "invalid_request"
		case 401, 403:
			return auth
		case 402:
			return quota
		case 404, 405, 406, 407, 410, 411, 412, 414, 415, 417, 421, 426, 431, 501:
			return config
		case 408, 504, 524:
			return late
		case 521, 522, 523, 525, 526, 527:
			return unreached
		case 409, 423, 425:
			return "upstream_failed RF"
		case 413:
			return "body_too_large"
		case 424, 499:
			return broken
		case 429:
			return rate
		case 451:
			return noAccess
		case 498, 503, 529:
			return busy
		}
		if status >= 500 {
			return broken
		}
		return "invalid_request"
	}
	for family := range strings.FieldsSeq(known + "generic nobody") {
		for status := 300; status < 600; status++ {
			for _, body := range []string{"", "{}", `{"error":{"message":"m","type":"invalid_request_error","code":null,"param":null}}`} {
				f := Classify(family, status, nil, []byte(body))
				if got := verdictOf(f); got != want(family, status) {
					t.Errorf("Classify(%s, %d, %s) = %s, want %s", family, status, body, got, want(family, status))
				}
				class := f.Fault.Code.Entry().Class
				if (class == fault.ClassRequest || class == fault.ClassContent) && actions(f) != "" {
					t.Errorf("Classify(%s, %d): the caller's own mistake asks for %s", family, status, actions(f))
				}
				if class == fault.ClassCredential || class == fault.ClassMoney || class == fault.ClassPermission {
					t.Errorf("Classify(%s, %d) = %s blames the caller's key", family, status, f.Fault.Code)
				}
			}
		}
	}
}

func TestWhatACallerSees(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		family, body, param, message string
		args                         string
	}{
		{"openai", `{"error":{"message":"Invalid 'temperature': too high.","param":"temperature","code":"decimal_above_max_value"}}`, "temperature", "Invalid 'temperature': too high.", ""},
		{"openai", `{"error":{"message":"bad role","param":"messages[0].role","code":"invalid_value"}}`, "messages.0.role", "bad role", ""},
		{"anthropic", `{"error":{"type":"invalid_request_error","message":"messages.0.content.1.text: Field required"}}`, "messages.0.content.1.text", "Field required", ""},
		{"openai", `{"error":{"message":"Bad.\n\tSee https://platform.openai.com/docs?key=sk-abcdefgh or mail ops@example.com","param":"x","code":"invalid_value"}}`, "x", "Bad. See […] or mail [redacted]", ""},
		{"openai", `{"error":{"message":"Your account org-abc123def has no access","param":"x","code":"invalid_value"}}`, "x", "", ""},
		{"openai", `{"error":{"message":"` + strings.Repeat("long ", 100) + `","param":"x","code":"invalid_value"}}`, "x", strings.Repeat("long ", 59) + "long…", ""},
		{"anthropic", `{"error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, "messages", "The request has 210000 tokens; this model takes at most 200000.", "210000/200000"},
		{"llamacpp", `{"error":{"type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192,"message":"m"}}`, "messages", "The request has 9000 tokens; this model takes at most 8192.", "9000/8192"},
		{"openai", `{"error":{"code":"context_length_exceeded","message":"too long"}}`, "messages", "", ""},
		{"openai", `{"error":{"code":"content_policy_violation","message":"Your bomb recipe"}}`, "", "", ""},
	} {
		f := Classify(c.family, 400, nil, []byte(c.body)).Fault
		if f.Param != c.param || f.Message != c.message {
			t.Errorf("%s: %q at %q, want %q at %q", c.body, f.Message, f.Param, c.message, c.param)
		}
		args := ""
		if f.Args != nil {
			args = f.Args["tokens"] + "/" + f.Args["context"]
		}
		if args != c.args {
			t.Errorf("%s: numbers %q, want %q", c.body, args, c.args)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("openai", 400, []byte(`{"error":{"message":"m","code":1,"param":[],"metadata":{"raw":"{}"}}}`))
	f.Add("anthropic", 200, []byte(`[{"error":{"details":[{"reason":"x"}]}}]`))
	f.Add("x", 0, []byte(`{"detail":[{"loc":[1,"a"],"msg":null}]}`))
	f.Fuzz(func(t *testing.T, family string, status int, body []byte) {
		got := Classify(family, status, nil, body)
		if got.Fault.Code == fault.None || len(got.Fault.Upstream) > maxWords+2 || utf8.RuneCountInString(got.Fault.Message) > maxPublic {
			t.Errorf("Classify(%q, %d, %q) = %+v", family, status, body, got.Fault)
		}
	})
}
