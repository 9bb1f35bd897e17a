/* What the parts of `mutate` share: the program that makes the corpus's changes. */
#ifndef MUTATE_H
#define MUTATE_H

void fail(const char *what);
void need(long result, const char *what);
int opened(const char *path, int flags);

/* survivor.c */
int survivor_serve(const char *name, int count, char **options);
int survivor_tell(const char *name, int count, char **words);

#endif
