package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// settle is how long clients may take to get their first byte after the last of them has connected.
const settle = 30 * time.Second

// live measures a window in which all clients follow the stream.
func live(l *load) (report, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	before := usage(l.pids)
	for range *n {
		l.add()
	}
	l.connect(ctx, l.clients)
	ready := hasBegun
	if *save != "" { // where nothing has come yet there is nothing to resume from
		ready = func(c *client) bool { return c.events.Load() > 0 }
	}
	l.await(settle, ready)
	time.Sleep(*warm)
	joined := usage(l.pids)
	for i := range *stalled {
		c := &client{number: *n + i, host: l.host, path: l.paths[0]}
		l.start(ctx, c.stall)
		time.Sleep(*ramp)
	}
	if *stalled > 0 {
		time.Sleep(*warm)
	}

	measuring.Store(true)
	events0, bytes0, chunks0 := l.counts()
	cost0, begin := usage(l.pids), time.Now()
	time.Sleep(*window)
	seconds := time.Since(begin).Seconds()
	events1, bytes1, chunks1 := l.counts()
	cost1 := usage(l.pids)
	measuring.Store(false)
	stop()
	l.running.Wait()

	total := int64(0)
	for i := range events1 {
		events1[i] -= events0[i]
		total += events1[i]
	}
	out := l.summary()
	out["window_us"] = []int64{begin.UnixMicro(), begin.Add(time.Duration(seconds * 1e9)).UnixMicro()}
	out["client_events_min"], out["client_events_max"] = slices.Min(events1), slices.Max(events1)
	out["events_per_read"] = per(float64(total), float64(out["latency_samples"].(int)))
	out["events_per_chunk"] = per(float64(total), float64(chunks1-chunks0))
	out["bytes_per_delivery"] = per(float64(bytes1-bytes0), float64(total))
	out["mb_per_s"] = float64(bytes1-bytes0) / seconds / 1e6
	out["server_cpu_percent"] = (cost1.cpu - cost0.cpu) / seconds * 100
	out["deliveries_per_s"] = float64(total) / seconds
	out["deliveries_per_cpu_s"] = per(float64(total), cost1.cpu-cost0.cpu)
	out["rss_kb_per_client"] = (joined.rssKB - before.rssKB) / float64(*n)
	out["rss_drift_kb"] = cost1.rssKB - joined.rssKB
	out["server_cpu_s_total"] = cost1.cpu
	if *stalled > 0 {
		out["rss_kb_per_stalled"] = (cost1.rssKB - joined.rssKB) / float64(*stalled)
		out["socket_kb_per_stalled"] = (cost1.socketKB - joined.socketKB) / float64(*stalled)
	}
	if *save != "" {
		return out, l.write(*save)
	}
	return out, nil
}

// replay measures from the first connect until every client has had its events.
func replay(l *load) (report, error) {
	ctx, stop := context.WithTimeout(context.Background(), *window)
	defer stop()
	before, begin := usage(l.pids), time.Now()
	for range *n {
		l.add().until = *until
	}
	l.connect(ctx, l.clients)
	l.running.Wait()
	seconds, after := time.Since(begin).Seconds(), usage(l.pids)

	out := l.summary()
	events := float64(out["events"].(int64))
	out["finished"] = l.count(func(c *client) bool { return c.events.Load() >= *until })
	out["seconds"] = seconds
	out["events_per_s"] = events / seconds
	out["events_per_cpu_s"] = per(events, after.cpu-before.cpu)
	out["rss_growth_kb"] = after.rssKB - before.rssKB
	return out, nil
}

// resumed lets clients of an earlier run go on by their last ids, and measures until all of them are up to date.
func resumed(l *load) (report, error) {
	if err := l.read(*resume); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	before, begin := usage(l.pids), time.Now()
	l.connect(ctx, l.clients)
	isFresh := func(c *client) bool { return c.fresh.Load() }
	l.await(*window, isFresh)
	seconds, after := time.Since(begin).Seconds(), usage(l.pids)
	behind := l.count(func(c *client) bool { return !isFresh(c) })
	time.Sleep(*warm)
	stop()
	l.running.Wait()

	out := l.summary()
	out["behind"], out["seconds"] = behind, seconds
	out["server_cpu_s"], out["server_cpu_s_total"] = after.cpu-before.cpu, after.cpu
	return out, nil
}

// left is where a client stood when its connection was cut.
type left struct {
	Path string `json:"path"`
	ID   string `json:"id"`
	Seq  int64  `json:"seq"`
}

func (l *load) write(file string) error {
	all := []left{}
	for _, c := range l.clients {
		if c.seq >= 0 {
			all = append(all, left{c.path, string(c.id), c.seq})
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func (l *load) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	all := []left{}
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, at := range all {
		c := l.add()
		c.path, c.lastID, c.seq = at.Path, at.ID, at.Seq
	}
	return nil
}

// churn lets clients come at a rate and go again; memory is sampled on the way, evenly.
func churn(l *load) (report, error) {
	const samples = 30
	ctx, stop := context.WithTimeout(context.Background(), *window+*stay+settle)
	defer stop()
	before, begin := usage(l.pids), time.Now()
	total := int(*rate * window.Seconds())
	rss := []float64{}
	for i := range total {
		c := l.add()
		c.stay = *stay
		if *stay == 0 {
			c.stay = -1
		}
		l.start(ctx, c.run)
		if i*samples/total > (i-1)*samples/total {
			rss = append(rss, usage(l.pids).rssKB)
		}
		time.Sleep(time.Until(begin.Add(time.Duration(float64(i+1) / *rate * 1e9))))
	}
	l.running.Wait()
	seconds, after := time.Since(begin).Seconds()-stay.Seconds(), usage(l.pids)

	out := l.summary()
	served := l.count(hasBegun)
	out["served"], out["connects_per_s"] = served, float64(served)/seconds
	out["server_cpu_ms_per_connect"] = per((after.cpu-before.cpu)*1000, float64(served))
	out["rss_kb"] = append(rss, after.rssKB)
	return out, nil
}
