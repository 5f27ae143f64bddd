package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// An event that is so young when it is read shows that its client is up to date.
	freshAge = time.Second
	// What one read may bring; a line may not be longer.
	bufferBytes = 128 << 10
)

// client is one connection and what it has seen. Without the atomics, it belongs to its goroutine until that ends.
type client struct {
	number int
	host   string
	path   string
	lastID string
	until  int64
	stay   time.Duration // after the first byte; 0: until the context ends, below 0: none

	events, bytes atomic.Int64
	begun, fresh  atomic.Bool

	track
	firstByte, firstEvent time.Duration
	latencies             []float32 // milliseconds, of the oldest event of each read while measuring
	status                string
	err                   error
}

var measuring atomic.Bool

// run reads the stream until the context, the server or the number of events ends it.
func (c *client) run(ctx context.Context) {
	start := time.Now()
	conn, err := c.connect(ctx)
	if err != nil {
		c.err = err
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	c.err = c.read(conn, start)
	if errors.Is(c.err, os.ErrDeadlineExceeded) {
		c.err = nil
	}
}

// connect sends the request as well.
func (c *client) connect(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 20 * time.Second}
	if *sources > 1 {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+c.number%min(*sources, 250)))}
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.host)
	if err != nil {
		return nil, err
	}
	id := ""
	if c.lastID != "" {
		id = "Last-Event-ID: " + c.lastID + "\r\n"
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\n%s\r\n", c.path, c.host, *accept, id)
	return conn, err
}

func (c *client) read(conn net.Conn, start time.Time) error {
	buffer := make([]byte, bufferBytes)
	held := 0
	for {
		m, err := conn.Read(buffer[held:])
		if m > 0 {
			now := time.Now()
			if c.firstByte == 0 {
				c.firstByte = now.Sub(start)
				c.status = string(bytes.TrimRight(firstLine(buffer[:m]), "\r"))
				c.begun.Store(true)
				if c.stay > 0 {
					conn.SetReadDeadline(now.Add(c.stay))
				} else if c.stay < 0 {
					return nil
				}
			}
			held = copy(buffer, c.take(buffer[:held+m], now, start))
			c.bytes.Add(int64(m))
			if c.until > 0 && c.events.Load() >= c.until {
				return nil
			}
		}
		if err != nil {
			return err
		}
		if held == len(buffer) {
			return fmt.Errorf("a line longer than %d bytes", held)
		}
	}
}

// take counts the events of whole lines and returns the rest.
func (c *client) take(data []byte, now, start time.Time) []byte {
	oldest, newest, rest := c.lines(data, &c.events)
	if newest == 0 {
		return rest
	}
	if c.firstEvent == 0 {
		c.firstEvent = now.Sub(start)
	}
	if measuring.Load() {
		c.latencies = append(c.latencies, float32(now.UnixMicro()-oldest)/1000)
	}
	if now.UnixMicro()-newest < freshAge.Microseconds() {
		c.fresh.Store(true)
	}
	return rest
}

// stall opens a stream of which nothing is ever read, and keeps it until the context ends.
func (c *client) stall(ctx context.Context) {
	conn, err := c.connect(ctx)
	if err != nil {
		c.err = err
		return
	}
	defer conn.Close()
	<-ctx.Done()
}
