package main

import (
	"bytes"
	"encoding/json"
	"sync/atomic"
)

var (
	sentKey = []byte(`"sent_us":`)
	seqKey  = []byte(`,"seq":`)
	idKey   = []byte("id: ")
	dataKey = []byte("data: ")
)

// An event's line ends with these two members, which are not longer.
const tailBytes = 80

// track follows the sequence of events of one client, over connections too. It counts the chunks of HTTP/1.1 that bring
// them, each of which is a write of the server (and the lines of the answer's head, before there are any).
type track struct {
	seq            int64 // of the last event; -1 before any
	lost, repeated int64
	id             []byte // of the event that comes, or came last
	told           string // the type of an error that the stream ended with
	chunks         atomic.Int64
}

// lines looks at every whole line of data: SSE's and NDJSON's events are one line each. It adds to count, and returns
// when the first and the last event were sent (microseconds; 0: there was none), and what follows the last line.
func (t *track) lines(data []byte, count *atomic.Int64) (oldest, newest int64, rest []byte) {
	seen := int64(0)
	for {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			count.Add(seen)
			return oldest, newest, data
		}
		line := bytes.TrimRight(data[:end], "\r")
		if 0 < len(line) && len(line) < end { // of all lines that come with an event, only the head of a chunk ends in CR
			t.chunks.Add(1)
		}
		data = data[end+1:]
		if *save != "" && bytes.HasPrefix(line, idKey) {
			t.id = append(t.id[:0], line[len(idKey):]...)
		}
		sent, seq, ok := event(line)
		if !ok {
			t.tell(line)
			continue
		}
		seen++
		newest = sent
		if oldest == 0 {
			oldest = sent
		}
		t.follow(seq)
	}
}

func (t *track) follow(seq int64) {
	switch {
	case t.seq < 0 || seq == t.seq+1:
	case seq > t.seq:
		t.lost += seq - t.seq - 1
	default:
		t.repeated++
		return
	}
	t.seq = seq
}

// tell takes down an error that is told to the client by an event.
func (t *track) tell(line []byte) {
	var problem struct{ Type string }
	if bytes.HasPrefix(line, dataKey) && json.Unmarshal(line[len(dataKey):], &problem) == nil {
		t.told = problem.Type
	}
}

// event finds the two members at the end of a line of JSON.
func event(line []byte) (sent, seq int64, ok bool) {
	if len(line) < len(sentKey)+len(seqKey) || line[len(line)-1] != '}' {
		return 0, 0, false
	}
	tail := line[max(0, len(line)-tailBytes):]
	at := bytes.LastIndex(tail, sentKey)
	if at < 0 {
		return 0, 0, false
	}
	sent, tail = digits(tail[at+len(sentKey):])
	if !bytes.HasPrefix(tail, seqKey) {
		return 0, 0, false
	}
	seq, _ = digits(tail[len(seqKey):])
	return sent, seq, true
}

func digits(text []byte) (value int64, rest []byte) {
	for len(text) > 0 && text[0] >= '0' && text[0] <= '9' {
		value = value*10 + int64(text[0]-'0')
		text = text[1:]
	}
	return value, text
}

func firstLine(data []byte) []byte {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return line
}
