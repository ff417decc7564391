-- SPDX-License-Identifier: MIT
-- The header Link: what RFC 8288 allows, and what its appendix B makes of what it does not.
local links = require "corun.http_links"

local BASE = "http://h/a/b?page=1"

-- The list as one text: relation and URL of each link.
local function shown(value)
  local out = {}
  for i, link in ipairs(links.parse(value, BASE)) do out[i] = link.rel .. " " .. link.url end
  return table.concat(out, "; ")
end

describe("http_links", function()
  it("finds links by their relation", function()
    local list = links.parse('<https://api/x?page=2>; rel="next", <https://api/x?page=9>; rel=last',
      BASE)
    assert.equal("https://api/x?page=2", list.next.url)
    assert.equal("https://api/x?page=9", list.last.url)
    assert.equal(2, #list)
    assert.is_nil(list.prev)
    assert.equal(list[1], list.next)
  end)

  it("takes relative targets, several relations, quotes, commas and semicolons", function()
    local cases = {
      {'<../c?d>;rel=next', "next http://h/c?d"},
      {'<?page=2>;rel=next', "next http://h/a/b?page=2"},
      {'<>;rel=self', "self http://h/a/b?page=1"}, {"<//x/y>;rel=a", "a http://x/y"},
      {'</1,2;3>; rel="next  LAST"', "next http://h/1,2;3; last http://h/1,2;3"},
      {'</x>; title="a, <b>; rel=c"; rel=d', "d http://h/x"},
      {'</x>; title="a\\", b\\\\"; rel=d,</y>;rel=e', "d http://h/x; e http://h/y"},
      {'</x>;rel=a;rel=b', "a http://h/x"}, {'</x>; REL=a', "a http://h/x"},
      {'</x> ;\trel = "a" , </y>\t; rel=b ', "a http://h/x; b http://h/y"},
      {'</x>;rel=a;;,,, </y>;rel=b;', "a http://h/x; b http://h/y"},
      {'</x>; rel="https://example.com/Rel"', "https://example.com/rel http://h/x"},
      {'</x>; flag; rel=a', "a http://h/x"}, {"</x>;rel=a b", "a http://h/x; b http://h/x"},
    }
    for _, c in ipairs(cases) do assert.equal(c[2], shown(c[1]), c[1]) end
  end)

  it("gives parameters, titles in any language, anchors", function()
    local list = links.parse(
      [[</x>; rel=a; title="plain"; title*=UTF-8'de'n%c3%a4chstes; type=t/p, ]] ..
      [[</y>; rel=b; title=one; title="two"; anchor="#f"; hreflang=de; hreflang=fr, ]]
      .. [[</z>; rel=c; title=t; title*=UTF-8''%ff, </z>; rel=d; title*=iso-8859-1'en'%A3]], BASE)
    assert.equal("nächstes", list.a.title)
    assert.equal("t/p", list.a.params.type)
    assert.equal("one", list.b.title)
    assert.equal("http://h/a/b?page=1#f", list.b.anchor)
    assert.equal("de", list.b.params.hreflang)
    assert.equal("t", list.c.title)
    assert.equal("£", list.d.title)
    for _, bad in ipairs{"UTF-8'x", "UTF-8''%4", "latin-9''a", "UTF-8''a b", "''"} do
      assert.is_nil(links.parse("</x>; rel=a; title*=" .. bad, BASE).a.title, bad)
    end
  end)

  it("ends at what is malformed, and leaves out what leads nowhere", function()
    local cases = {
      {nil, ""}, {"", ""}, {" , ", ""}, {"/x; rel=a", ""}, {"</x; rel=a", ""}, {"</x>", ""},
      {"</x>; rel", ""}, {'</x>; rel=""', ""}, {"</x>; title=rel", ""},
      {"</x>;rel=a, /y;rel=b, </z>;rel=c", "a http://h/x"},
      {"</x>;rel=a </y>;rel=b", "a http://h/x; </y> http://h/x"}, {"</x>x;rel=a", ""},
      {'</x>;rel="a', "a http://h/x"},
      {'</x>;rel="a\\', "a http://h/x"}, {"<http://[>;rel=a, </y>;rel=b", "b http://h/y"},
      {'</x>;rel=a;anchor="http://["', ""},
      {"</x>;rel=a;=b, </y>;rel=c", "a http://h/x; c http://h/y"},
    }
    for i = 1, #cases do
      assert.equal(cases[i][2], shown(cases[i][1]), cases[i][1])
    end
  end)

  it("takes time in proportion to a long header, whatever is in it", function()
    for _, piece in ipairs{"<", ";", ",", '"', "\\", "</x>;rel=a,", ' ', "</x>;" , "a=\"", "=;"} do
      for _, before in ipairs{"", "</x>", '</x>;rel="', "</x>;rel=", "</x>;rel=x "} do
        local n = 65536 // #piece
        assert.is_table(links.parse(before .. piece:rep(n), BASE))
      end
    end
  end)
end)
