-- The gateway's own metrics: their names, help and labels, and the text page.
-- Counters are numbers under a key that key() makes; render() asks for each by its key, so every
-- series is on the page from the start. Pure; a label must never come from a request.
local shapes = require("gatemeter.shapes")

local metrics = {}

local PREFIX = "gatemeter_gateway_"

local function with_forms(family)
  for _, form in ipairs(shapes.FORMS) do
    family[#family + 1] = form.name
  end
  return family
end

-- { name, type, help, label name, label values.. }
metrics.FAMILIES = {
  { "requests_total", "counter", "Requests proxied, by class of the status the client saw.",
    "status_class", "1xx", "2xx", "3xx", "4xx", "5xx" },
  { "admitted_total", "counter", "Requests that passed the check of who asks." },
  { "streams_total", "counter", "Requests answered by a stream of server-sent events." },
  { "refused_total", "counter", "Requests answered here and not counted, by reason.",
    "reason", "no_namespace", "unknown_key", "bad_namespace", "bad_request" },
  { "usage_absent_total", "counter", "Successful POST answers that reported no usage." },
  { "usage_elsewhere_total", "counter",
    "Answers to other methods than POST that reported usage, which is not counted again." },
  { "usage_repaired_total", "counter",
    "Answers whose usage had a fraction of a token, which was rounded." },
  with_forms({ "usage_mismatch_total", "counter",
    "Answers whose usage contradicts itself, by its form; sent as it was reported.",
    "provider_shape" }),
  { "usage_unreadable_total", "counter",
    "Answers packed so that they cannot be read, by their encoding.",
    "encoding", "gzip", "deflate", "br", "zstd", "other" },
  { "stream_errors_total", "counter", "Streams below status 400 that reported an error." },
  { "answer_errors_total", "counter",
    "Answers to a POST, no streams, that reported an error below status 400." },
  { "upstream_cut_total", "counter", "Answers that the upstream broke off." },
  { "lookups_total", "counter", "Lookups of upstream and ingest at name servers, by outcome.",
    "result", "ok", "not_found", "failed" },
  { "address_changes_total", "counter", "Times that a name had other addresses, in each worker.",
    "name", "upstream", "ingest" },
  { "connect_failures_total", "counter", "Connections that could not be made.",
    "name", "upstream", "ingest" },
  { "events_total", "counter", "Events made, one per attempt." },
  { "events_delivered_total", "counter",
    "Events that ingest has accepted; a batch delivered again counts again." },
  { "events_rejected_total", "counter", "Events that ingest has rejected." },
  { "events_uncounted_total", "counter", "Events accepted but out of time, as ingest reported.",
    "class", "late", "future" },
  { "events_dropped_total", "counter", "Events lost here, by reason.",
    "reason", "spool_full", "too_large", "unreadable", "spill_failed", "spill_damaged" },
  { "texts_too_long_total", "counter",
    "Events whose text, or a side of it, was longer than text_bytes_max and left out." },
  { "events_without_text_total", "counter", "Events whose text did not fit the spool." },
  { "events_spilled_total", "counter", "Events written to disk at a stop." },
  { "events_recovered_total", "counter", "Events read back from disk after a start." },
  { "events_adopted_total", "counter", "Events sent for a worker that is gone." },
  { "batches_total", "counter", "Batches sent to ingest, by what became of them.",
    "result", "stored", "refused", "split", "retry", "trouble" },
  { "spool_events", "gauge", "Events waiting in the spool." },
  { "spool_used_bytes", "gauge", "Memory of the spool in use, by whole pages." },
  { "spool_capacity_bytes", "gauge", "Memory of the spool." },
  { "active_requests", "gauge", "Requests being proxied, up to a second ago." },
  { "workers", "gauge", "Worker processes, those that finish after a reload included." },
  { "last_success_timestamp_seconds", "gauge", "When ingest last took a batch; 0 if never." },
  { "start_time_seconds", "gauge", "When the gateway, and with it these counters, began." },
}

-- The key of a counter in the store.
function metrics.key(name, label)
  return label and name .. "|" .. label or name
end

local function escape(value)
  return (value:gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }))
end

local function number(value)
  if value % 1 == 0 then
    return ("%.0f"):format(value)
  end
  return ("%.3f"):format(value)
end

function metrics.render(get)
  local lines = {}
  local function put(...)
    lines[#lines + 1] = table.concat({ ... })
  end
  for _, family in ipairs(metrics.FAMILIES) do
    local name, kind, help, label = family[1], family[2], family[3], family[4]
    put("# HELP ", PREFIX, name, " ", help)
    put("# TYPE ", PREFIX, name, " ", kind)
    if label then
      for i = 5, #family do
        local value = get(metrics.key(name, family[i])) or 0
        put(PREFIX, name, "{", label, '="', escape(family[i]), '"} ', number(value))
      end
    else
      put(PREFIX, name, " ", number(get(name) or 0))
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

return metrics
