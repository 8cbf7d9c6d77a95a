package provider

import (
	"net/http"
	"testing"

	"github.com/pontage/pontage/internal/fault"
)

// TestBedrockErrors has the rows of protocols.md §2.3 for AWS: the exception
// stands in a header or in the body, with a namespace or an address or neither.
func TestBedrockErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status          int
		header, message string
		want            string
	}{
		{400, "ValidationException", "Input is too long for requested model.", tooLong},
		{400, "ValidationException", "too many input tokens", tooLong},
		{400, "ValidationException", "prompt is too long: 210000 tokens > 200000 maximum", tooLong},
		{400, "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/", "Malformed input request: expected maxLength: 100, actual: 200", tooLong},
		{400, "com.amazon.bedrock#ValidationException", "Malformed input request: #/x", "invalid_request"},
		{400, "ValidationException", "A conversation must start with a user message.", "invalid_request"},
		{400, "ValidationException", "Invocation of model ID x with on-demand throughput isn't supported.", config},
		{400, "ValidationException", "The provided model identifier is invalid.", noModel},
		{400, "ServiceQuotaExceededException", "x", quota},
		{403, "AccessDeniedException", "x", auth},
		{403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", noAccess},
		{403, "UnrecognizedClientException", "The security token included in the request is invalid.", auth},
		{403, "ExpiredTokenException", "The security token included in the request is expired", auth},
		{403, "InvalidSignatureException", "x", auth},
		{404, "ResourceNotFoundException", "x", noModel},
		{404, "ResourceNotFoundException", "Model use case details have not been submitted for this account.", config},
		{404, "FTUFormNotFilled", "x", config},
		{408, "ModelTimeoutException", "x", late},
		{424, "ModelErrorException", "x", broken},
		{424, "ModelStreamErrorException", "x", broken},
		{429, "ThrottlingException", "Too many requests", rate},
		{429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", quota},
		{429, "ModelNotReadyException", "x", busy},
		{500, "InternalServerException", "x", broken},
		{503, "ServiceUnavailableException", "x", busy},
		{403, "", "x", auth},
		{400, "SomethingNew", "x", "invalid_request"},
		{500, "SomethingNew", "x", broken},
	} {
		body := `{"message":"` + c.message + `"}`
		h := http.Header{"X-Amzn-Errortype": {c.header}}
		if got := verdictOf(Classify("bedrock", c.status, h, []byte(body))); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
		body = `{"__type":"` + c.header + `","Message":"` + c.message + `"}`
		f := Classify("bedrock", c.status, nil, []byte(body))
		if got := verdictOf(f); got != c.want {
			t.Errorf("%+v, in the body: %s", c, got)
		}
		if f.Fault.Code == fault.InvalidRequest && f.Fault.Said == "" {
			t.Errorf("%+v: nothing was said", c)
		}
	}
}
