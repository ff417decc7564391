// SPDX-License-Identifier: MIT
// The dates of cookies. See cookie_date.h. A date is a row of tokens in any order; each is taken as
// the first of time, day, month and year that is still wanted and that it looks like. Digits are
// followed by anything but a digit, and what that begins is not looked at.
#include "http/cookie_date.h"

#include <string.h>
#include <strings.h>

typedef struct fields {
  int hour, minute, second, day, month, year;  // -1 until it is found
} fields;

static bool is_digit(unsigned char c) {
  return c >= '0' && c <= '9';
}

static bool is_delimiter(unsigned char c) {
  return c == '\t' || (c >= 0x20 && c <= 0x2F) || (c >= 0x3B && c <= 0x40) ||
         (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
}

// Read `least` to `most` digits at `*s` and step over them; -1 when there are fewer or more.
static int number(const char **s, const char *end, int least, int most) {
  int value = 0, n = 0;
  const char *p = *s;
  for (; p < end && is_digit((unsigned char)*p); p++) {
    if (++n > most) return -1;
    value = value * 10 + (*p - '0');
  }
  *s = p;
  return n >= least ? value : -1;
}

static bool take_time(fields *f, const char *s, const char *end) {
  int part[3];
  for (int i = 0; i < 3; i++) {
    if (i > 0 && (s == end || *s++ != ':')) return false;
    part[i] = number(&s, end, 1, 2);
    if (part[i] < 0) return false;
  }
  f->hour = part[0];
  f->minute = part[1];
  f->second = part[2];
  return true;
}

static bool take_number(int *field, const char *s, const char *end, int least, int most) {
  int value = number(&s, end, least, most);
  if (value >= 0) *field = value;
  return value >= 0;
}

static bool take_month(fields *f, const char *s, const char *end) {
  static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
  if (end - s < 3) return false;
  for (int i = 0; i < 12; i++) {
    if (strncasecmp(s, names + (ptrdiff_t)3 * i, 3) != 0) continue;
    f->month = i + 1;
    return true;
  }
  return false;
}

static void take(fields *f, const char *s, const char *end) {
  if (f->hour < 0 && take_time(f, s, end)) return;
  if (f->day < 0 && take_number(&f->day, s, end, 1, 2)) return;
  if (f->month < 0 && take_month(f, s, end)) return;
  if (f->year < 0) take_number(&f->year, s, end, 2, 4);
}

static bool exists(const fields *f) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (f->hour < 0 || f->day < 1 || f->month < 0 || f->year < 1601) return false;
  if (f->hour > 23 || f->minute > 59 || f->second > 59) return false;
  bool leaps = f->year % 4 == 0 && (f->year % 100 != 0 || f->year % 400 == 0);
  return f->day <= days[f->month - 1] + (f->month == 2 && leaps);
}

// Days from 1 January 1970. Years are counted from March, so that the leap day is the last one.
static int64_t days_of(const fields *f) {
  int64_t year = f->year - (f->month <= 2), month = (f->month + 9) % 12;
  int64_t before = 365 * year + year / 4 - year / 100 + year / 400;
  return before + (153 * month + 2) / 5 + f->day - 1 - 719468;
}

bool cookie_date_parse(const char *s, size_t n, int64_t *out) {
  fields f = {-1, -1, -1, -1, -1, -1};
  const char *end = s + n;
  while (s < end) {
    const char *token = s;
    while (s < end && !is_delimiter((unsigned char)*s)) s++;
    if (s > token) take(&f, token, s);
    if (s < end) s++;
  }
  if (f.year >= 70 && f.year <= 99) f.year += 1900;
  if (f.year >= 0 && f.year <= 69) f.year += 2000;
  if (!exists(&f)) return false;
  *out = ((days_of(&f) * 24 + f.hour) * 60 + f.minute) * 60 + f.second;
  return true;
}
