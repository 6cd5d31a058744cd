package main

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// kinds are the values of the label kind, in the order of the sums in tokens.
var kinds = [...]string{"input", "output", "cache_read", "cache_write", "reasoning"}

// tokens has a number for each kind.
type tokens [len(kinds)]uint64

// series is what an event counts under. Its strings may refer to a message: they are cloned where
// a series is kept.
type series struct {
	namespace, upstream, model string
	status                     uint16
}

// cell adds up the events of one series in a batch, and has the counters they go to.
type cell struct {
	attempts, requests uint64
	tokens             tokens

	attemptsTotal, requestsTotal prometheus.Counter
	tokensTotal                  [len(kinds)]prometheus.Counter
}

// consumer is one key or user of a namespace. As in Gatemeter it is no label of a metric: there
// may be ten thousand in a namespace.
type consumer struct {
	namespace, name string
}

// usage is what a consumer used.
type usage struct {
	attempts uint64
	tokens   tokens
}

// counts has the counters, and what has not been added to them yet.
type counts struct {
	attempts, requests, tokens *prometheus.CounterVec

	cells     map[series]*cell
	consumers map[consumer]*usage
	// touched are the cells with events of this batch.
	touched []*cell
}

func newCounts(registry *prometheus.Registry) *counts {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		made := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		registry.MustRegister(made)
		return made
	}
	return &counts{
		attempts: vec("peer_attempts_total", "Attempts at requests.",
			"namespace", "upstream", "model", "status"),
		requests: vec("peer_requests_total", "Requests, by their final attempt.",
			"namespace", "upstream", "model", "status"),
		tokens: vec("peer_tokens_total", "Tokens of all attempts.",
			"namespace", "upstream", "model", "kind"),
		cells:     map[series]*cell{},
		consumers: map[consumer]*usage{},
	}
}

// count adds an event to its cell and its consumer.
func (c *counts) count(e *event) {
	sums := tokens{
		e.Usage.Input, e.Usage.Output, e.Usage.CacheRead, e.Usage.CacheWrite, e.Usage.Reasoning,
	}
	key := series{e.Namespace, e.Upstream, e.model(), e.Status}
	to := c.cells[key]
	if to == nil {
		to = c.newCell(key)
	}
	if to.attempts == 0 {
		c.touched = append(c.touched, to)
	}
	to.attempts++
	if e.Final {
		to.requests++
	}
	to.tokens.add(&sums)
	if e.Consumer == "" {
		return
	}
	who := consumer{e.Namespace, e.Consumer}
	used := c.consumers[who]
	if used == nil {
		used = &usage{}
		c.consumers[consumer{strings.Clone(who.namespace), strings.Clone(who.name)}] = used
	}
	used.attempts++
	used.tokens.add(&sums)
}

// newCell looks the counters of a series up, once.
func (c *counts) newCell(key series) *cell {
	key.namespace = strings.Clone(key.namespace)
	key.upstream = strings.Clone(key.upstream)
	key.model = strings.Clone(key.model)
	status := strconv.Itoa(int(key.status))
	made := &cell{
		attemptsTotal: c.attempts.WithLabelValues(key.namespace, key.upstream, key.model, status),
		requestsTotal: c.requests.WithLabelValues(key.namespace, key.upstream, key.model, status),
	}
	for i, kind := range kinds {
		made.tokensTotal[i] =
			c.tokens.WithLabelValues(key.namespace, key.upstream, key.model, kind)
	}
	c.cells[key] = made
	return made
}

// publish adds what the batch counted to the counters: once for each series, not for each event.
func (c *counts) publish() {
	for _, from := range c.touched {
		from.attemptsTotal.Add(float64(from.attempts))
		from.requestsTotal.Add(float64(from.requests))
		for i, n := range from.tokens {
			if n > 0 {
				from.tokensTotal[i].Add(float64(n))
			}
		}
		from.attempts, from.requests, from.tokens = 0, 0, tokens{}
	}
	c.touched = c.touched[:0]
}

func (t *tokens) add(other *tokens) {
	for i := range t {
		t[i] += other[i]
	}
}
