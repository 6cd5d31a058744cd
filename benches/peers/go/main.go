// Peer of the benchmarks: counts a raw topic of JSON events, one event a message, as a careful
// service in Go would, with franz-go, goccy/go-json and client_golang.
//
// Messages are read in large fetches whose memory is pooled, parsed without copies, deduplicated by
// id in an exact set in memory, and added up for each poll before the counters are touched. It
// keeps less than Gatemeter does: nothing is durable, no offset is committed, no event is late, and
// the counters begin at 0 with the process. So it is a lower bound of what a service costs that
// does the whole job.
//
// It ends when as many events were read as -events says, and prints its totals and its CPU time as
// one line of JSON. An event that cannot be read ends it with an error.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// fetchBytes is what a fetch may bring of all partitions together, and of one. Larger ones
	// cost more: their decompressed batches no longer fit into the pooled memory.
	fetchBytes, fetchPartitionBytes = 4 << 20, 512 << 10
	// fetchWait is how long a broker waits until a fetch has fetchBytesMin.
	fetchWait, fetchBytesMin = 50 * time.Millisecond, 1 << 20
	// gcPercent lets the heap grow to five times what is in use: most of that is the set of ids,
	// which has nothing to collect.
	gcPercent = 400
)

// report is the line that is printed at the end.
type report struct {
	Events   uint64            `json:"events"`
	Unique   uint64            `json:"unique"`
	Attempts uint64            `json:"attempts"`
	Requests uint64            `json:"requests"`
	Tokens   map[string]uint64 `json:"tokens"`
	// CPUNanos is user and system time of the process.
	CPUNanos uint64 `json:"cpu_nanos"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	brokers := flag.String("brokers", "127.0.0.1:9092", "brokers, with commas between")
	topic := flag.String("topic", "gatemeter.raw", "topic to read")
	from := flag.String("from", "", "where to begin, as PARTITION:OFFSET with commas between")
	n := flag.Uint64("events", 0, "events to read before it ends")
	flag.Parse()
	debug.SetGCPercent(gcPercent)
	offsets, err := parseOffsets(*from)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: offsets}),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMinBytes(fetchBytesMin),
		kgo.WithPools(new(pool)),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	registry := prometheus.NewRegistry()
	made, err := count(client, newCounts(registry), *n)
	if err != nil {
		return err
	}
	if made.CPUNanos, err = cpuNanos(); err != nil {
		return err
	}
	if err := made.add(registry); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(made)
}

// count reads n events. A topic is one source, so its ids are in one set.
func count(client *kgo.Client, counts *counts, n uint64) (*report, error) {
	made, ids, read := &report{Tokens: map[string]uint64{}}, newSeen(), new(event)
	for made.Events < n {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			if err := read.read(record.Value); err != nil {
				return nil, fmt.Errorf("partition %d, offset %d: %w",
					record.Partition, record.Offset, err)
			}
			isNew, err := ids.add(read.ID)
			if err != nil {
				return nil, fmt.Errorf("partition %d, offset %d: %w",
					record.Partition, record.Offset, err)
			}
			made.Events++
			if isNew {
				made.Unique++
				counts.count(read)
			}
			record.Recycle()
		}
		counts.publish()
	}
	return made, nil
}

// add takes the totals from the counters, as a scrape would see them.
func (r *report) add(registry *prometheus.Registry) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			value := uint64(metric.GetCounter().GetValue())
			switch family.GetName() {
			case "peer_attempts_total":
				r.Attempts += value
			case "peer_requests_total":
				r.Requests += value
			case "peer_tokens_total":
				for _, label := range metric.GetLabel() {
					if label.GetName() == "kind" {
						r.Tokens[label.GetValue()] += value
					}
				}
			}
		}
	}
	return nil
}

func parseOffsets(text string) (map[int32]kgo.Offset, error) {
	offsets := map[int32]kgo.Offset{}
	for _, pair := range strings.Split(text, ",") {
		partition, offset, _ := strings.Cut(pair, ":")
		p, err := strconv.ParseInt(partition, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("-from: %w", err)
		}
		at, err := strconv.ParseInt(offset, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("-from: %w", err)
		}
		offsets[int32(p)] = kgo.NewOffset().At(at)
	}
	return offsets, nil
}

func cpuNanos() (uint64, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0, err
	}
	return uint64(used.Utime.Nano() + used.Stime.Nano()), nil
}
