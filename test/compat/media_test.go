package compat

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
)

// TestOpenAIOtherSurfaces asks for everything that is no conversation with the
// official client, which must understand every answer.
func TestOpenAIOtherSurfaces(t *testing.T) {
	t.Parallel()
	g := near.get(t)
	c, ctx := g.openai(g.key), context.Background()

	verdict, err := c.Moderations.New(ctx, openai.ModerationNewParams{Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"hello", "I will kill you"}}})
	if err != nil || len(verdict.Results) != 2 || verdict.Results[0].Flagged || !verdict.Results[1].Categories.Violence {
		t.Errorf("moderation: %+v, %v", verdict, err)
	}

	image, err := c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a cat", N: openai.Int(2)})
	if err != nil || len(image.Data) != 2 || image.Usage.OutputTokens != 544 {
		t.Fatalf("images: %+v, %v", image, err)
	}
	picture, err := base64.StdEncoding.DecodeString(image.Data[0].B64JSON)
	if err != nil || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		t.Errorf("the image is %.20q, %v", picture, err)
	}
	edited, err := c.Images.Edit(ctx, openai.ImageEditParams{
		Model: "gpt-image-1", Prompt: "a dog", Image: openai.ImageEditParamsImageUnion{OfFile: openai.File(bytes.NewReader(picture), "cat.png", "image/png")},
	})
	if err != nil || len(edited.Data) != 1 {
		t.Errorf("edit: %+v, %v", edited, err)
	}
	kinds := map[string]int{}
	s := c.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a cat", PartialImages: openai.Int(1)})
	for s.Next() {
		kinds[s.Current().Type]++
	}
	if s.Err() != nil || kinds["image_generation.partial_image"] != 1 || kinds["image_generation.completed"] != 1 {
		t.Errorf("streamed images: %v, %v", kinds, s.Err())
	}

	spoken, err := c.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{Model: "tts-1", Input: "hello my friend", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")}})
	if err != nil {
		t.Fatal(err)
	}
	sound, err := io.ReadAll(spoken.Body)
	_ = spoken.Body.Close()
	if err != nil || !bytes.HasPrefix(sound, []byte("RIFF")) || spoken.Header.Get("Content-Type") != "audio/wav" || spoken.Trailer.Get("X-Charge-Usd") != "0.000225" {
		t.Errorf("%d bytes of %s for %s, %v", len(sound), spoken.Header.Get("Content-Type"), spoken.Trailer.Get("X-Charge-Usd"), err)
	}
	heard, err := c.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{Model: "whisper-1", File: openai.File(bytes.NewReader(sound), "a.wav", "audio/wav")})
	if err != nil || !strings.Contains(heard.Text, "transcript") {
		t.Errorf("transcription: %+v, %v", heard, err)
	}

	text, err := c.Completions.New(ctx, openai.CompletionNewParams{Model: "gpt-3.5-turbo-instruct", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once")}, MaxTokens: openai.Int(5)})
	if err != nil || len(text.Choices) != 1 || text.Choices[0].FinishReason != "length" || text.Usage.CompletionTokens != 5 {
		t.Errorf("completion: %+v, %v", text, err)
	}
	for _, model := range []openai.CompletionNewParamsModel{"gpt-3.5-turbo-instruct", "gpt-4.1-mini"} {
		said, reason := "", ""
		s := c.Completions.NewStreaming(ctx, openai.CompletionNewParams{Model: model, Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once")}, MaxTokens: openai.Int(5)})
		for s.Next() {
			for _, x := range s.Current().Choices {
				said += x.Text
				reason += string(x.FinishReason)
			}
		}
		if s.Err() != nil || said == "" || reason != "length" {
			t.Errorf("%s: streamed completion %q, %q, %v", model, said, reason, s.Err())
		}
	}

	var e *openai.Error
	if _, err := c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "tts-1", Prompt: "a cat"}); !errors.As(err, &e) || e.StatusCode != 400 || e.Param != "model" {
		t.Errorf("the wrong model: %v", err)
	}
}
