-- Tests of what asks for usage in a stream. Nothing but the wish may change in a client's body.
local check = require("check")
local cjson = require("cjson.safe")
local inject = require("gatemeter.inject")

local tests = {}

local function asked(body)
  return inject.include_usage(cjson.decode, cjson.null, body)
end

function tests.the_wish_is_added_where_none_was_made_and_no_other_byte_changes()
  for body, expected in pairs({
    ['{"stream":true}'] = '{"stream_options":{"include_usage":true},"stream":true}',
    [' \r\n{ "stream" : true , "n":1.50}'] =
      ' \r\n{"stream_options":{"include_usage":true}, "stream" : true , "n":1.50}',
    ['{"stream":true,"stream_options":null}'] =
      '{"stream":true,"stream_options":{"include_usage":true}}',
    ['{"stream_options" : null ,"stream":true}'] =
      '{"stream_options" : {"include_usage":true} ,"stream":true}',
    ['{"stream":true,"stream_options":{}}'] =
      '{"stream":true,"stream_options":{"include_usage":true}}',
    ['{"stream":true,"stream_options":{ \n }}'] =
      '{"stream":true,"stream_options":{"include_usage":true \n }}',
    ['{"stream":true,"stream_options":{"obfuscation":false}, "x":"}"}'] =
      '{"stream":true,"stream_options":{"include_usage":true,"obfuscation":false}, "x":"}"}',
    ['{"stream":true,"stream_options":{"a":[1],"include_usage": null}}'] =
      '{"stream":true,"stream_options":{"a":[1],"include_usage": true}}',
    -- The last of two counts; names may have escapes, and the words may stand in a prompt.
    ['{"stream_options":{"include_usage":true},"stream":true,"stream_options":null}'] =
      '{"stream_options":{"include_usage":true},"stream":true,'
        .. '"stream_options":{"include_usage":true}}',
    ['{"prompt":"\\"stream_options\\":null","stream":true,"stream\\u005foptions":{}}'] =
      '{"prompt":"\\"stream_options\\":null","stream":true,'
        .. '"stream\\u005foptions":{"include_usage":true}}',
    ['{"a":{"stream_options":{"b":1}},"stream":true,"stream_options":null}'] =
      '{"a":{"stream_options":{"b":1}},"stream":true,"stream_options":{"include_usage":true}}',
  }) do
    check.equal(asked(body), expected, body)
    check.equal(cjson.decode(expected).stream_options.include_usage, true, body)
    check.equal(asked(expected), nil, "once is enough: " .. expected)
  end
end

function tests.a_client_that_decided_is_left_alone_and_so_is_what_is_no_stream()
  for _, body in ipairs({ '{"stream":true,"stream_options":{"include_usage":false}}',
                          '{"stream":true,"stream_options":{"include_usage":true}}',
                          '{"stream":true,"stream_options":{"include_usage":"no"}}',
                          '{"stream":true,"stream_options":false}',
                          '{"stream":true,"stream_options":[]}',
                          '{"stream":true,"stream_options":7}',
                          '{"stream":false}', '{"stream":1}', '{"stream":null}', "{}", "[]", "",
                          "{", '{"stream":true', '[{"stream":true}]', "null" }) do
    check.equal(asked(body), nil, body)
  end
end

function tests.bodies_made_by_chance_keep_their_bytes()
  local values = { "null", "1e3", '"a\\"}{["', "[1,[2],{}]", '{"x":{"y":"\\\\"}}', "true", '""' }
  for _ = 1, 3000 do
    local fields = { '"stream":true' }
    for i = 1, math.random(0, 5) do
      fields[i + 1] = ('"k%d"%s:%s%s'):format(i, (" "):rep(math.random(0, 2)),
                                              (" "):rep(math.random(0, 2)), values[math.random(7)])
    end
    local wish = ({ "null", "{}", '{"z":[{"include_usage":1}]}' })[math.random(3)]
    table.insert(fields, math.random(#fields + 1), '"stream_options":' .. wish)
    local body = "{" .. table.concat(fields, ",") .. "}"
    local made = ({ ["null"] = '{"include_usage":true}', ["{}"] = '{"include_usage":true}' })[wish]
      or '{"include_usage":true,"z":[{"include_usage":1}]}'
    local at, stop = body:find('"stream_options":' .. wish, 1, true)
    check.equal(asked(body), body:sub(1, at - 1) .. '"stream_options":' .. made
      .. body:sub(stop + 1), body)
  end
end

return tests
