# shellcheck shell=bash
# Behind the generated completion of bulkheadctl: bash takes a colon for the end of a word, and addresses have two.
_bulkheadctl_with_colons() {
  local cur words cword
  _get_comp_words_by_ref -n : cur words cword
  # shellcheck disable=SC2034 # _bulkheadctl reads them
  COMP_WORDS=("${words[@]}") COMP_CWORD=$cword
  _bulkheadctl "$@"
  __ltrim_colon_completions "$cur"
}
complete -F _bulkheadctl_with_colons bulkheadctl
