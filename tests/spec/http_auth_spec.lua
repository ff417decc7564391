-- SPDX-License-Identifier: MIT
-- The option auth: basic and bearer authorization, and to whom it goes.

local codec = require("corun.codec")
local http = require("corun.http")
local support = require("tests.spec.support.http")

-- A server that answers with the Authorization that it got.
local function echo()
  return support.kept(function(head)
    return support.ok(head:match("\r\n[Aa]uthorization: ([^\r]*)") or "none")
  end)
end

describe("http auth", function()
  it("{user, password} is basic, a string is a bearer's token", function()
    local server <close>, url = echo()
    local s <close> = http.session()
    -- the example of RFC 7617
    assert.equal("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
      assert(s:get(url, {auth = {"Aladdin", "open sesame"}})).body)
    assert.equal("Basic " .. codec.base64.encode("ü:p:q"),
      assert(s:get(url, {auth = {"ü", "p:q"}})).body)
    assert.equal("Basic dG9rZW46", assert(s:get(url, {auth = {"token"}})).body)
    assert.equal("Bearer a.b-c_d~e+f/g==", assert(s:get(url, {auth = "a.b-c_d~e+f/g=="})).body)
    assert.equal("Bearer 1|aB{c}", assert(s:get(url, {auth = "1|aB{c}"})).body) -- as Laravel's
    assert.equal("none", assert(s:get(url, {auth = "t", headers = {authorization = false}})).body)
    assert.equal("none", assert(s:get(url)).body)
    server:close()
  end)

  it("the request's own header goes first, then its auth, then the session's", function()
    local server <close>, url = echo()
    local s <close> = http.session({auth = "session"})
    assert.equal("Bearer session", assert(s:get(url)).body)
    assert.equal("Bearer own", assert(s:get(url, {auth = "own"})).body)
    assert.equal("Digest x", assert(s:get(url, {auth = "own",
      headers = {Authorization = "Digest x"}})).body)
    local headed <close> = http.session({headers = {authorization = "Digest y"}})
    assert.equal("Digest y", assert(headed:get(url)).body)
    assert.equal("Bearer own", assert(headed:get(url, {auth = "own"})).body)
    server:close()
  end)

  it("a session's goes to its base alone", function()
    local server <close>, url = echo()
    local other <close>, elsewhere = echo()
    local s <close> = http.session({base = url, auth = {"u", "p"}})
    assert.equal("Basic dTpw", assert(s:get("/x")).body)
    assert.equal("Basic dTpw", assert(s:get(url .. "/x")).body)
    assert.equal("none", assert(s:get(elsewhere)).body)
    assert.equal("Bearer t", assert(s:get(elsewhere, {auth = "t"})).body)
    server:close()
    other:close()
  end)

  it("what cannot be sent is misuse, and never shown in an error", function()
    local s <close> = http.session()
    for _, bad in ipairs({"Bearer secret", "sec\r\nret", "", {}, {1}, {"a:secret", "b"},
        {"a", "sec\nret"}, {"a", "b", "secret"}, {user = "secret"}}) do
      local good, err = pcall(s.get, s, "http://127.0.0.1:1/", {auth = bad})
      assert.is_false(good)
      assert.matches("auth", tostring(err))
      assert.is_nil(tostring(err):find("secret", 1, true))
      assert.is_false((pcall(http.session, {auth = bad})))
    end
    local res, err = s:get("http://127.0.0.1:1/", {auth = {"user", "secret"}})
    assert.is_nil(res)
    assert.is_nil(tostring(err):find("secret", 1, true))
  end)
end)
