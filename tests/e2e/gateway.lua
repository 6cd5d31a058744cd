-- wrk: each thread sends exactly so many requests and stops when all are answered, so that
-- nothing is cut off; wrk itself is then ended from outside. Streams and whole answers in turn,
-- for three namespaces, with waits before the first token.
local wanted = tonumber(os.getenv("REQUESTS"))
local namespaces = { "wechat", "search", "ads" }
local reserved, made, answered = 0, 0, 0

-- A connection beyond the last request waits for longer than the run.
function delay()
  reserved = reserved + 1
  return reserved > wanted and 3600000 or 0
end

-- Each is a little above a bound of the histogram of these times, and far below the next one.
local function wait_ms(n)
  return n % 50 == 0 and 1040 or n % 10 == 0 and 520 or 260
end

function request()
  made = made + 1
  local headers = {
    ["X-Namespace"] = namespaces[made % 3 + 1],
    ["X-Mock-Delay-Ms"] = wait_ms(made),
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
