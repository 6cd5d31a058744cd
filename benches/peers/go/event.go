package main

import "github.com/goccy/go-json"

// event has the fields that are counted, as docs/events.md describes them.
type event struct {
	ID             string      `json:"id"`
	Namespace      string      `json:"namespace"`
	Upstream       string      `json:"upstream"`
	Model          string      `json:"model"`
	RequestedModel string      `json:"requested_model"`
	Status         uint16      `json:"status"`
	Final          bool        `json:"final"`
	Consumer       string      `json:"consumer"`
	Usage          tokenCounts `json:"usage"`
}

type tokenCounts struct {
	Input      uint64 `json:"input_tokens"`
	Output     uint64 `json:"output_tokens"`
	CacheRead  uint64 `json:"cache_read_tokens"`
	CacheWrite uint64 `json:"cache_write_tokens"`
	Reasoning  uint64 `json:"reasoning_tokens"`
}

// read replaces e by the event of a message. Its strings refer to the message.
func (e *event) read(message []byte) error {
	*e = event{Final: true}
	return json.UnmarshalNoEscape(message, e, noCopy)
}

var noCopy = json.DecodeNoCopyString()

// model is what the event counts under.
func (e *event) model() string {
	switch {
	case e.Model != "":
		return e.Model
	case e.RequestedModel != "":
		return e.RequestedModel
	default:
		return "none"
	}
}
