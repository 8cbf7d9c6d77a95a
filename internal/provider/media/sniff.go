package media

import "bytes"

// heads are the first bytes of files, and their media types.
var heads = []struct{ head, media string }{
	{"ID3", "audio/mpeg"},
	{"RIFF", "audio/wav"},
	{"OggS", "audio/ogg"},
	{"fLaC", "audio/flac"},
	{"\xff\xf1", "audio/aac"},
	{"\xff\xf9", "audio/aac"},
	{"\x1aE\xdf\xa3", "audio/webm"},
}

// byFormat are the media types of what callers name to be spoken.
var byFormat = map[string]string{
	"": "audio/mpeg", "mp3": "audio/mpeg", "opus": "audio/opus", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm",
}

// soundType returns the media type of sound, by its first bytes, or else as it was
// asked for; of nothing that is known, MP3.
func soundType(sound []byte, format string) string {
	for _, h := range heads {
		if bytes.HasPrefix(sound, []byte(h.head)) {
			return h.media
		}
	}
	switch {
	case len(sound) > 1 && sound[0] == 0xff && sound[1]&0xe0 == 0xe0 && format != "pcm":
		return "audio/mpeg"
	case byFormat[format] != "":
		return byFormat[format]
	}
	return "audio/mpeg"
}

// imageType returns the media type of an image, by its first bytes; of nothing that
// is known, PNG.
func imageType(image []byte) string {
	switch {
	case bytes.HasPrefix(image, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case len(image) > 12 && string(image[:4]) == "RIFF" && string(image[8:12]) == "WEBP":
		return "image/webp"
	}
	return "image/png"
}
