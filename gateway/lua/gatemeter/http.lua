-- A small HTTP/1.1 client over any object that sends and receives like a cosocket.
-- A request goes out, { status, headers, body, reusable } comes back. Pure; it must never take an
-- answer that was cut off for a whole one, nor read more than its bounds allow.
local http = {}

local HEADERS_MAX = 100
local BODY_BYTES_MAX = 4 * 1024 * 1024

-- Splits http://host:port/path; https is 443 unless the address says otherwise.
function http.parse_url(url)
  local scheme, rest = tostring(url):match("^(https?)://(.+)$")
  if not scheme then
    return nil, "must begin with http:// or https://"
  end
  local authority, path = rest:match("^([^/?#]+)(.*)$")
  if not authority or authority:find("@", 1, true) then
    return nil, "must name a host and no user"
  end
  local host, port = authority:match("^(%[[%x:.]+%]):?(%d*)$")
  if not host then
    host, port = authority:match("^([%w%-_.]+):?(%d*)$")
  end
  if not host then
    return nil, "must name a host and, after a colon, a port"
  end
  port = port == "" and (scheme == "https" and 443 or 80) or tonumber(port)
  if port < 1 or port > 65535 then
    return nil, "must have a port from 1 to 65535"
  end
  return { scheme = scheme, host = host, port = port, authority = authority,
           path = (path:gsub("/+$", "")) }
end

function http.request_head(target, path, headers, body_bytes)
  local lines = { ("POST %s%s HTTP/1.1"):format(target.path, path), "Host: " .. target.authority,
                  ("Content-Length: %d"):format(body_bytes) }
  for _, header in ipairs(headers) do
    lines[#lines + 1] = header[1] .. ": " .. header[2]
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function read_headers(sock)
  local headers = {}
  for _ = 1, HEADERS_MAX do
    local line, err = sock:receive("*l")
    if not line then
      return nil, err
    end
    if line == "" then
      return headers
    end
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if name then
      headers[name:lower()] = value
    end
  end
  return nil, "too many headers"
end

local function read_chunked(sock)
  local parts, bytes = {}, 0
  while true do
    local line, err = sock:receive("*l")
    local size = line and tonumber(line:match("^%s*(%x+)") or "", 16)
    if not size then
      return nil, err or "bad chunk"
    end
    bytes = bytes + size
    if bytes > BODY_BYTES_MAX then
      return nil, "answer too long"
    end
    if size == 0 then
      local _, trailer_err = read_headers(sock)
      return not trailer_err and table.concat(parts) or nil, trailer_err
    end
    local data
    data, err = sock:receive(size)
    if not data then
      return nil, err
    end
    parts[#parts + 1] = data
    sock:receive(2)
  end
end

local function read_body(sock, headers)
  if (headers["transfer-encoding"] or ""):lower():find("chunked", 1, true) then
    return read_chunked(sock)
  end
  local size = tonumber(headers["content-length"])
  if not size then
    return sock:receive("*a")
  end
  if size > BODY_BYTES_MAX then
    return nil, "answer too long"
  end
  return size == 0 and "" or sock:receive(size)
end

function http.read_answer(sock)
  local status
  repeat
    local line, err = sock:receive("*l")
    if not line then
      return nil, err
    end
    status = tonumber(line:match("^HTTP/1%.[01] (%d%d%d)"))
    if not status then
      return nil, "answer is not HTTP"
    end
    if status < 200 then
      local _, skip_err = read_headers(sock)
      if skip_err then
        return nil, skip_err
      end
    end
  until status >= 200
  local headers, err = read_headers(sock)
  if not headers then
    return nil, err
  end
  local body
  body, err = read_body(sock, headers)
  if not body then
    return nil, err
  end
  local framed = headers["content-length"] or headers["transfer-encoding"]
  local closes = (headers.connection or ""):lower():find("close", 1, true)
  return { status = status, headers = headers, body = body,
           reusable = framed and not closes and true or false }
end

-- One request on a connection that is open already.
function http.exchange(sock, target, path, headers, body)
  local _, err = sock:send({ http.request_head(target, path, headers, #body), body })
  if err then
    return nil, err
  end
  return http.read_answer(sock)
end

return http
