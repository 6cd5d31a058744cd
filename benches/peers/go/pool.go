package main

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compression is how many times larger than its compressed bytes a batch is at first assumed.
const compression = 6

// pool gives the client the memory of batches again that were counted. It implements
// kgo.PoolDecompressBytes and kgo.PoolRecords.
type pool struct {
	bytes, records sync.Pool
}

// GetDecompressBytes returns memory for a batch; the client grows it if it is too small.
func (p *pool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	if kept, ok := p.bytes.Get().(*[]byte); ok {
		return (*kept)[:0]
	}
	return make([]byte, 0, compression*len(compressed))
}

// PutDecompressBytes is called once every record of a batch was recycled.
func (p *pool) PutDecompressBytes(bytes []byte) { p.bytes.Put(&bytes) }

// GetRecords returns memory for the n records of a batch.
func (p *pool) GetRecords(n int) []kgo.Record {
	if kept, ok := p.records.Get().(*[]kgo.Record); ok && cap(*kept) >= n {
		return (*kept)[:0]
	}
	return make([]kgo.Record, 0, n)
}

// PutRecords is called once every record of a batch was recycled.
func (p *pool) PutRecords(records []kgo.Record) { p.records.Put(&records) }
