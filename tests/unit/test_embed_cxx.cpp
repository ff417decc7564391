// SPDX-License-Identifier: MIT
// Embedding from C++: the header compiles without a warning as C++17, and a host works. Answers 0
// if all is well.
#include <corun.h>

#include <string>

static void take(void *ud, const char *bytes, size_t n) {
  static_cast<std::string *>(ud)->append(bytes, n);
}

static int l_greet(lua_State *L) {
  corun_checkpoint(L);
  lua_pushliteral(L, "hello from C++");
  return 1;
}

int main() {
  std::string out;
  const std::string code = "require('corun').sleep(0.001) print(greet())";
  corun_options options{};
  corun_runtime *rt;
  options.size = sizeof options;
  options.out = take;
  options.write_ud = &out;
  if (corun_new(&rt, &options) != 0) return 1;
  lua_register(corun_state(rt), "greet", l_greet);
  const corun_status status = corun_run_string(rt, code.data(), code.size(), "=code");
  corun_close(rt);
  return status == CORUN_DONE && out == "hello from C++\n" ? 0 : 2;
}
