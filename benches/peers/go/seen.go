package main

import (
	"errors"
	"hash/maphash"
)

const (
	// idBytesMax is the longest id that the contract of events allows.
	idBytesMax = 128
	// chunkBits is the logarithm of the bytes of a chunk.
	chunkBits = 20
	// chunksMax is how many chunks an address of 32 bits can name: 4 GiB of ids.
	chunksMax = 1 << (32 - chunkBits)
	// slotsMin is the size of an empty set.
	slotsMin = 1 << 16
)

var (
	errIDLength = errors.New("an id has 1 to 128 bytes")
	errFull     = errors.New("the ids have more than 4 GiB")
)

// seen is an exact set of the ids of one source. It compares bytes and trusts no hash, and has no
// pointer for each id, so that the garbage collector does not walk through millions of them.
//
// Ids lie one after the other in chunks that are never moved, each behind a byte with its length.
// slots is an open-addressed table, at most three quarters full.
type seen struct {
	seed   maphash.Seed
	slots  []slot
	n      int
	chunks [][]byte
}

// slot names an id. The lower bits of hash say where its search begins, so that growing reads no
// id; the others make most comparisons of bytes needless.
type slot struct {
	hash uint32
	// at is the address of the id, 0 for a slot that is free.
	at uint32
}

func newSeen() *seen {
	// Address 0 stands for a free slot and is no id's.
	first := make([]byte, 1, 1<<chunkBits)
	return &seen{seed: maphash.MakeSeed(), slots: make([]slot, slotsMin), chunks: [][]byte{first}}
}

// add reports whether the id is new, and keeps a copy of it if so.
func (s *seen) add(id string) (bool, error) {
	if len(id) == 0 || len(id) > idBytesMax {
		return false, errIDLength
	}
	hash := uint32(maphash.String(s.seed, id))
	mask := uint32(len(s.slots) - 1)
	i := hash & mask
	for ; s.slots[i].at != 0; i = (i + 1) & mask {
		if s.slots[i].hash == hash && s.is(s.slots[i].at, id) {
			return false, nil
		}
	}
	at, err := s.store(id)
	if err != nil {
		return false, err
	}
	s.slots[i] = slot{hash, at}
	s.n++
	if s.n > len(s.slots)/4*3 {
		s.grow()
	}
	return true, nil
}

// is reports whether the id at an address has these bytes.
func (s *seen) is(at uint32, id string) bool {
	bytes := s.chunks[at>>chunkBits][at&(1<<chunkBits-1):]
	return int(bytes[0]) == len(id) && string(bytes[1:1+len(id)]) == id
}

// store copies an id and returns its address.
func (s *seen) store(id string) (uint32, error) {
	last := len(s.chunks) - 1
	if len(s.chunks[last])+1+len(id) > cap(s.chunks[last]) {
		if len(s.chunks) == chunksMax {
			return 0, errFull
		}
		s.chunks = append(s.chunks, make([]byte, 0, 1<<chunkBits))
		last++
	}
	at := uint32(last)<<chunkBits | uint32(len(s.chunks[last]))
	s.chunks[last] = append(append(s.chunks[last], byte(len(id))), id...)
	return at, nil
}

// grow doubles the table.
func (s *seen) grow() {
	slots := make([]slot, 2*len(s.slots))
	mask := uint32(len(slots) - 1)
	for _, old := range s.slots {
		if old.at == 0 {
			continue
		}
		i := old.hash & mask
		for slots[i].at != 0 {
			i = (i + 1) & mask
		}
		slots[i] = old
	}
	s.slots = slots
}
