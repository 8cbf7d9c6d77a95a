package media

import (
	"strings"

	"github.com/pontage/pontage/internal/jsonx"
	"github.com/pontage/pontage/internal/llm"
)

// counts reads what an answer says of its usage: tokens as OpenAI counts them for
// images and sound, or seconds of sound. ok is false if it says nothing, or what
// cannot be.
//
// Source: OpenAI's OpenAPI description, ImageGenUsage, TranscriptTextUsageTokens,
// TranscriptTextUsageDuration and SpeechAudioDoneEvent.
func counts(v jsonx.Value) (u llm.Usage, ok bool) {
	if v.Kind() != jsonx.Object {
		return u, false
	}
	bad := false
	read := func(name string, to *int64) {
		n, is := v.Get(name).Int()
		bad = bad || is && (n < 0 || n > mostTokens)
		if is && !bad {
			*to, ok = n, true
		}
	}
	read("input_tokens", &u.Input)
	read("output_tokens", &u.Output)
	if !ok {
		read("prompt_tokens", &u.Input)
		read("completion_tokens", &u.Output)
	}
	for _, name := range []string{"seconds", "prompt_audio_seconds"} {
		if s, is := v.Get(name).Float(); is && s > 0 {
			u.Seconds, ok = ceil(s), true
		}
	}
	if bad {
		return llm.Usage{}, false
	}
	// Mistral counts sound apart, and in the total.
	total, _ := v.Get("total_tokens").Int()
	if n, is := v.Get("prompt_tokens_details").Get("audio_tokens").Int(); is && n > 0 && n <= mostTokens && total == u.Input+u.Output+n {
		u.Input += n
	}
	if n, is := v.Get("input_tokens_details").Get("cached_tokens").Int(); is && n >= 0 && n <= u.Input {
		u.CachedInput = n
	}
	drawn, _ := v.Get("output_tokens_details").Get("image_tokens").Int()
	u = u.WithOutput(0, 0, drawn)
	for _, name := range []string{"input_tokens_details", "input_token_details", "prompt_tokens_details"} {
		if d := v.Get(name); d.Exists() {
			images, _ := d.Get("image_tokens").Int()
			sound, _ := d.Get("audio_tokens").Int()
			return u.WithMedia(images, sound), ok
		}
	}
	return u, ok
}

// mostTokens is far more than any answer uses.
const mostTokens = 1 << 40

// mostSeconds is far more than any sound has, and fits a number.
const mostSeconds = 1 << 40

// ceil returns s seconds, of those that have begun; s is not negative.
func ceil(s float64) int64 {
	s = min(s, mostSeconds)
	n := int64(s)
	if float64(n) < s {
		n++
	}
	return n
}

// complete adds what a provider does not count: the images that it made, as far as
// they were asked for, the characters, and the seconds of sound. told: by the
// provider.
func complete(r *llm.Request, u llm.Usage, told bool, images int64, duration float64) *llm.Usage {
	u.Estimated = !told
	switch r.Task {
	case llm.TaskImage:
		u.Images = min(images, max(r.Images, 1))
		if u.ImageOutput == 0 { // nobody tells it from text
			u.ImageOutput = u.Output
		}
	case llm.TaskSpeech:
		u.Characters, u.AudioOutput = r.Characters, u.Output
	case llm.TaskTranscribe:
		if u.Seconds == 0 && duration > 0 {
			u.Seconds, u.Estimated = ceil(duration), false
		} else if u.Seconds == 0 {
			u.Seconds, u.SecondsEstimated = r.Heard, true
		}
		u.Seconds = min(u.Seconds, r.Seconds)
	}
	return &u
}

// isJSON reports whether a content type is of JSON; none is taken for it.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	media = strings.TrimSpace(media)
	return media == "" || media == "application/json" || strings.HasSuffix(media, "+json")
}
