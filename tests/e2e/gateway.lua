-- wrk: each thread sends exactly so many requests and stops when all are answered, so that
-- nothing is cut off; wrk itself is then ended from outside. Streams and whole answers in turn,
-- for three namespaces.
local wanted = tonumber(os.getenv("REQUESTS"))
local delay_ms = os.getenv("DELAY_MS")
local namespaces = { "wechat", "search", "ads" }
local reserved, made, answered = 0, 0, 0

-- A connection beyond the last request waits for longer than the run.
function delay()
  reserved = reserved + 1
  return reserved > wanted and 3600000 or 0
end

function request()
  made = made + 1
  local headers = {
    ["X-Namespace"] = namespaces[made % 3 + 1],
    ["X-Mock-Delay-Ms"] = delay_ms,
    ["Content-Type"] = "application/json",
  }
  local stream = made % 2 == 0 and "true" or "false"
  local body = '{"model":"mock-small","stream":' .. stream .. ',"messages":[]}'
  return wrk.format("POST", "/v1/chat/completions", headers, body)
end

function response()
  answered = answered + 1
  if answered == wanted then
    wrk.thread:stop()
  end
end
