package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// load is what all modes share: where clients connect, and those that have.
type load struct {
	host    string
	paths   []string
	pids    []int
	clients []*client
	running sync.WaitGroup
}

type report map[string]any

func (l *load) add() *client {
	i := len(l.clients)
	c := &client{number: i, host: l.host, path: l.paths[i%len(l.paths)], track: track{seq: -1}}
	l.clients = append(l.clients, c)
	return c
}

func (l *load) start(ctx context.Context, run func(context.Context)) {
	l.running.Add(1)
	go func() { defer l.running.Done(); run(ctx) }()
}

// connect makes one client after the other, evenly, and starts them.
func (l *load) connect(ctx context.Context, clients []*client) {
	begin := time.Now()
	for i, c := range clients {
		l.start(ctx, c.run)
		time.Sleep(time.Until(begin.Add(time.Duration(i+1) * *ramp)))
	}
}

// await polls until all clients are as wanted, or the limit is reached.
func (l *load) await(limit time.Duration, is func(*client) bool) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if l.count(is) == len(l.clients) {
			return
		}
	}
}

func (l *load) count(is func(*client) bool) int {
	counted := 0
	for _, c := range l.clients {
		if is(c) {
			counted++
		}
	}
	return counted
}

func hasBegun(c *client) bool { return c.begun.Load() }

func (l *load) counts() (events []int64, bytes, chunks int64) {
	for _, c := range l.clients {
		events = append(events, c.events.Load())
		bytes += c.bytes.Load()
		chunks += c.chunks.Load()
	}
	return events, bytes, chunks
}

// summary is what every mode reports of its clients; they have ended.
func (l *load) summary() report {
	var firstByte, firstEvent, latencies []float64
	var events, lost, repeated int64
	statuses, failed, told := map[string]int{}, map[string]int{}, map[string]int{}
	for _, c := range l.clients {
		if c.firstByte > 0 {
			firstByte = append(firstByte, c.firstByte.Seconds()*1000)
			statuses[c.status]++
		}
		if c.firstEvent > 0 {
			firstEvent = append(firstEvent, c.firstEvent.Seconds()*1000)
		}
		for _, ms := range c.latencies {
			latencies = append(latencies, float64(ms))
		}
		if c.err != nil {
			failed[reason(c.err)]++
		}
		if c.told != "" {
			told[c.told]++
		}
		events += c.events.Load()
		lost += c.lost
		repeated += c.repeated
	}
	out := report{
		"clients": len(l.clients), "events": events, "lost": lost, "repeated": repeated,
		"clients_with_events": len(firstEvent), "latency_samples": len(latencies), "statuses": statuses,
	}
	if len(failed) > 0 {
		out["errors"] = failed
	}
	if len(told) > 0 {
		out["told"] = told
	}
	quantiles(out, "first_byte_ms", firstByte)
	quantiles(out, "first_event_ms", firstEvent)
	quantiles(out, "latency_ms", latencies)
	return out
}

// reason is an error without the addresses, so that equal ones are counted together.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	if os.IsTimeout(err) {
		return "timeout"
	}
	return err.Error()
}

// quantiles adds p50 and p99 under the name; nothing where there are no values.
func quantiles(out report, name string, values []float64) {
	slices.Sort(values)
	for _, percent := range []int{50, 99} {
		if len(values) > 0 {
			out[fmt.Sprintf("%s_p%d", name, percent)] = values[min(len(values)-1, len(values)*percent/100)]
		}
	}
}

func per(amount, cost float64) float64 {
	if cost <= 0 {
		return 0
	}
	return amount / cost
}
