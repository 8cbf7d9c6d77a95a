package media

import "encoding/binary"

// How many bytes a second of compressed sound has: no codec that is taken for
// speech has fewer than lowest (8 kbit/s), and usual is that of an MP3 of 128
// kbit/s.
const (
	lowest = 1000
	usual  = 16_000
)

// length returns how many seconds a file can last at most, and how many it does
// as far as can be told: exactly where it is a WAV file, else by its size.
func length(file []byte) (most, guess int64) {
	if s := wav(file); s > 0 {
		return s, s
	}
	return up(int64(len(file)), lowest), up(int64(len(file)), usual)
}

func up(n, by int64) int64 { return max((n+by-1)/by, 1) }

// wav returns the seconds of a RIFF WAVE file; 0: it is none, or says nothing
// that can be believed. The size of its data is taken from the file itself: that
// in the header may be wrong.
func wav(file []byte) int64 {
	if len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE" {
		return 0
	}
	rate := int64(0) // bytes a second
	for rest := file[12:]; len(rest) >= 8; {
		size := int64(binary.LittleEndian.Uint32(rest[4:]))
		body := rest[8:]
		switch string(rest[:4]) {
		case "fmt ":
			if size < 16 || len(body) < 16 {
				return 0
			}
			if format := binary.LittleEndian.Uint16(body); format != 1 && format != 3 { // neither whole numbers nor floats
				return 0
			}
			// As players do. The rate that the header tells besides can be anything.
			channels, samples, bits := binary.LittleEndian.Uint16(body[2:]), binary.LittleEndian.Uint32(body[4:]), binary.LittleEndian.Uint16(body[14:])
			rate = int64(channels) * int64(samples) * int64(bits/8)
		case "data":
			if rate < lowest {
				return 0
			}
			return up(int64(len(body)), rate)
		}
		size += size & 1
		if size > int64(len(body)) {
			return 0
		}
		rest = body[size:]
	}
	return 0
}
